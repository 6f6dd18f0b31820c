// What each reason of the dead-letter contract means, for somebody who has not read it.
export const REASONS = {
  malformed_json: 'not JSON', invalid_reading: 'a member is missing or out of its range',
  future_timestamp: 'its time is in the future', conflicting_duplicate: 'same device and time, another value',
  partition_key_mismatch: 'stored under another device’s key', bad_aggregate: 'a broken aggregate of records',
  late: 'too old for the ledger', corrupt_state: 'the device’s stored state cannot be read',
};
