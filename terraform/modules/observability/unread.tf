# Something arrives, but what should read it does not: a Lambda's event source mapping is disabled or deleted, Firehose's
# stream is deleted, or one of them may no longer read. A reader that reads nothing reports nothing, neither errors nor an
# age; only what arrives tells.

locals {
  # The periods cover, beside one for the arrival and one for the metrics' own delay, the longest time until a record's
  # invocation shows: the batching window, the batch before it, and the batch itself, whose metrics come when it has ended.
  readers = {
    aggregator-not-invoked = {
      description = "Records arrive in the stream, but the aggregator is not invoked: its mapping is disabled, deleted or broken. After the stream's retention they are lost to the statistics."
      reader      = var.function_name
      arrived     = { namespace = "AWS/Kinesis", metric = "IncomingRecords", dimensions = local.stream }
      read        = { namespace = "AWS/Lambda", metric = "Invocations", dimensions = local.function }
      periods     = 2 + ceil((var.batching_window_seconds + 2 * var.timeout_seconds) / 300)
    }
    # A change stream has no metric of what arrives in it, only of what is read. Each write of the table's writes a device's
    # statistics, which the curator's mapping lets through. Writes whose condition fails consume units too, but fail only
    # because of another one that succeeded; deletions by TTL consume none.
    curator-not-invoked = {
      description = "The table is written to, but the curator is not invoked: its mapping is disabled, deleted or broken. After 24 hours the changes are lost to the curated data."
      reader      = var.curator_function_name
      arrived     = { namespace = "AWS/DynamoDB", metric = "ConsumedWriteCapacityUnits", dimensions = local.table }
      read        = { namespace = "AWS/Lambda", metric = "Invocations", dimensions = { FunctionName = var.curator_function_name } }
      # Of the curator module's batching window of 10 s and timeout of 60 s.
      periods = 3
    }
    # The freshness of what Firehose delivers says nothing of what it never read.
    archive-not-read = {
      description = "Records arrive in the stream, but Firehose does not read them: its stream is deleted, or its role may not read. After the stream's retention they are lost to the archive."
      reader      = var.delivery_stream_name
      arrived     = { namespace = "AWS/Kinesis", metric = "IncomingRecords", dimensions = local.stream }
      read        = { namespace = "AWS/Firehose", metric = "DataReadFromKinesisStream.Records", dimensions = local.delivery }
      # It reads every few seconds; what it waits for is the delivery.
      periods = 3
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "unread" {
  for_each = { for watched, alarm in local.readers : watched => alarm if alarm.reader != null }

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = each.value.description

  # 1 where something arrived and nothing was read, 0 where something was read, nothing in quiet periods: in a
  # comparison of two series a missing value is 0, and one that both lack stays missing. Quiet periods repeat what was
  # before them, so that a single record with nothing after it is enough for the alarm, ...
  metric_query {
    id          = "waiting"
    expression  = "FILL(IF(arrived > 0, 1) > IF(read > 0, 1), REPEAT)"
    label       = "records arrive, and nothing is read"
    return_data = true
  }

  metric_query {
    id = "arrived"

    metric {
      namespace   = each.value.arrived.namespace
      metric_name = each.value.arrived.metric
      dimensions  = each.value.arrived.dimensions
      stat        = "Sum"
      period      = 300
    }
  }

  metric_query {
    id = "read"

    metric {
      namespace   = each.value.read.namespace
      metric_name = each.value.read.metric
      dimensions  = each.value.read.dimensions
      stat        = "Sum"
      period      = 300
    }
  }

  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  # All of them: a record that comes a second before a period ends is read in the next one.
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  # ... and the alarm lasts until something is read, however quiet it is meanwhile.
  treat_missing_data = "ignore"
  alarm_actions      = var.alarm_actions
  ok_actions         = var.alarm_actions
}
