//! Moments, quantile sketch, device state and its binary form, ledger. Pure.
