# Records arrive, but the function that reads them is not invoked: its event source mapping is disabled or deleted, or may
# no longer read. Such a mapping reports nothing, neither errors nor an iterator age; only what arrives tells.

locals {
  # Whose arrivals must lead to invocations. The periods cover, beside one for the arrival and one for the metrics' own
  # delay, the longest time until a record's invocation shows: the batching window, the batch before it, and the batch
  # itself, whose metrics come when it has ended.
  invoked = {
    aggregator-not-invoked = {
      description = "Records arrive in the stream, but the aggregator is not invoked: its mapping is disabled, deleted or broken. After the stream's retention they are lost to the statistics."
      function    = var.function_name
      namespace   = "AWS/Kinesis", metric = "IncomingRecords", dimensions = local.stream
      periods     = 2 + ceil((var.batching_window_seconds + 2 * var.timeout_seconds) / 300)
    }
    # A change stream has no metric of what arrives in it, only of what is read. Each write of the table's writes a device's
    # statistics, which the curator's mapping lets through. Writes whose condition fails consume units too, but fail only
    # because of another one that succeeded; deletions by TTL consume none.
    curator-not-invoked = {
      description = "The table is written to, but the curator is not invoked: its mapping is disabled, deleted or broken. After 24 hours the changes are lost to the curated data."
      function    = var.curator_function_name
      namespace   = "AWS/DynamoDB", metric = "ConsumedWriteCapacityUnits", dimensions = local.table
      # Of the curator module's batching window of 10 s and timeout of 60 s.
      periods = 3
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "not_invoked" {
  for_each = { for watched, alarm in local.invoked : watched => alarm if alarm.function != null }

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = each.value.description

  # 1 where something arrived and nothing was invoked, 0 where something was invoked, nothing in quiet periods: in a
  # comparison of two series a missing value is 0, and one that both lack stays missing. Quiet periods repeat what was
  # before them, so that a single record with nothing after it is enough for the alarm, ...
  metric_query {
    id          = "waiting"
    expression  = "FILL(IF(arrived > 0, 1) > IF(invoked > 0, 1), REPEAT)"
    label       = "records arrive, and nothing is invoked"
    return_data = true
  }

  metric_query {
    id = "arrived"

    metric {
      namespace   = each.value.namespace
      metric_name = each.value.metric
      dimensions  = each.value.dimensions
      stat        = "Sum"
      period      = 300
    }
  }

  metric_query {
    id = "invoked"

    metric {
      namespace   = "AWS/Lambda"
      metric_name = "Invocations"
      dimensions  = { FunctionName = each.value.function }
      stat        = "Sum"
      period      = 300
    }
  }

  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  # All of them: a record that comes a second before a period ends is invoked in the next one.
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  # ... and the alarm lasts until an invocation, however quiet it is meanwhile.
  treat_missing_data = "ignore"
  alarm_actions      = var.alarm_actions
  ok_actions         = var.alarm_actions
}
