//! The HTTP front door on one machine: API Gateway's contract, from the same OpenAPI document.
