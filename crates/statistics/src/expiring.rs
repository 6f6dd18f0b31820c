//! Ledger pages that will be gone one day.

use crate::DeviceState;
use crate::identity::NANOSECONDS_PER_SECOND;

/// Which identities may stand on pages that expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiring {
    /// At or below this instant.
    pub(crate) floor_ns: i128,
    /// The shortest retention that any of their pages was written with, in seconds.
    pub(crate) retention_s: u64,
}

impl DeviceState {
    /// Remembers that the pages just spilled expire, the first of them when it is `retention_s` seconds old. Whatever
    /// the retention is later: what it was decides how long these pages can be relied on.
    pub fn pages_expire_after(&mut self, retention_s: u64) {
        if let Some(floor_ns) = self.floor_ns {
            let shortest = self.expiring.map_or(retention_s, |before| before.retention_s.min(retention_s));
            self.expiring = Some(Expiring { floor_ns, retention_s: shortest });
        }
    }

    /// The latest instant whose page may have expired by `now_ns`; `None` where no page expires. At or below it an
    /// identity that is on no page may have been counted all the same.
    pub fn expired_floor_ns(&self, now_ns: i128) -> Option<i128> {
        let Expiring { floor_ns, retention_s } = self.expiring?;
        let retained_from_ns = now_ns - i128::from(retention_s) * NANOSECONDS_PER_SECOND;
        Some(floor_ns.min(retained_from_ns - 1))
    }
}
