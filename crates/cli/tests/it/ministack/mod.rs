//! `streamgauge dlq` on AWS, against ministack at the endpoint in `STREAMGAUGE_MINISTACK_ENDPOINT`: `.ci/ministack-tests`
//! starts it, runs these tests and ends it. Each test has a stream, a table, a queue and a bucket of its own.

mod cloud;
mod failures;
mod held;

use self::cloud::Cloud;
use crate::support::week::follow_the_runbook;

#[test]
fn an_operator_who_has_only_the_runbook_fixes_a_weeks_failures() {
    let mut cloud = Cloud::start();
    let shell = cloud.shell();
    follow_the_runbook(&mut cloud, &shell);
}
