//! What Lambda sends and gets, and the function's own binary.

mod events;
mod function;
