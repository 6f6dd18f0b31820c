//! AWS Lambda's stream poller to the letter: batches, checkpoints, bisect, retries, age, on-failure records.
