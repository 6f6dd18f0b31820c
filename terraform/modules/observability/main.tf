# What says that something is wrong, and the picture that shows what.

data "aws_region" "current" {}

locals {
  function = { FunctionName = var.function_name }
  stream   = { StreamName = var.stream_name }
  table    = { TableName = var.table_name }
  api      = { ApiName = var.api_name, Stage = var.api_stage_name }
  delivery = { DeliveryStreamName = var.delivery_stream_name }

  # Sums and maxima of five minutes. Nothing to report is nothing wrong.
  alarms = {
    iterator-age = {
      description = "The aggregator is more than ${var.iterator_age_seconds_max} s behind the stream; what expires there is lost to the statistics."
      namespace   = "AWS/Lambda", metric = "IteratorAge", dimensions = local.function
      statistic   = "Maximum", threshold = var.iterator_age_seconds_max * 1000
    }
    aggregator-errors = {
      description = "Invocations of the aggregator fail; their batches come again."
      namespace   = "AWS/Lambda", metric = "Errors", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    aggregator-throttles = {
      description = "The aggregator lacks concurrency."
      namespace   = "AWS/Lambda", metric = "Throttles", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    failure-destination = {
      description = "A batch that Lambda gave up could not be written to the archive bucket."
      namespace   = "AWS/Lambda", metric = "DestinationDeliveryFailures", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    failed-groups = {
      description = "Devices' groups fail and are delivered again; the log names what fails."
      namespace   = var.metrics_namespace, metric = "FailedGroups", dimensions = local.function
      statistic   = "Sum", threshold = var.failed_groups_max
    }
    corrupt-state = {
      description = "A device's stored state does not decode. It is not overwritten; its readings are dead letters."
      namespace   = var.metrics_namespace, metric = "DeadLetters_corrupt_state", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    stream-write-throttles = {
      description = "The stream refuses records for want of capacity; senders are answered 429."
      namespace   = "AWS/Kinesis", metric = "WriteProvisionedThroughputExceeded", dimensions = local.stream
      statistic   = "Sum", threshold = 0
    }
    stream-read-throttles = {
      description = "The stream's readers are throttled."
      namespace   = "AWS/Kinesis", metric = "ReadProvisionedThroughputExceeded", dimensions = local.stream
      statistic   = "Sum", threshold = 0
    }
    table-write-throttles = {
      description = "The table throttles writes; their batches come again."
      namespace   = "AWS/DynamoDB", metric = "WriteThrottleEvents", dimensions = local.table
      statistic   = "Sum", threshold = 0
    }
    table-read-throttles = {
      description = "The table throttles reads."
      namespace   = "AWS/DynamoDB", metric = "ReadThrottleEvents", dimensions = local.table
      statistic   = "Sum", threshold = 0
    }
    archive-freshness = {
      description = "The oldest reading not yet archived is more than ${var.archive_freshness_seconds_max} s old."
      namespace   = "AWS/Firehose", metric = "DeliveryToS3.DataFreshness", dimensions = local.delivery
      statistic   = "Maximum", threshold = var.archive_freshness_seconds_max
    }
    api-errors = {
      description = "The API answers 5xx: what it was sent is not stored."
      namespace   = "AWS/ApiGateway", metric = "5XXError", dimensions = local.api
      statistic   = "Sum", threshold = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = { for watched, alarm in local.alarms : watched => alarm if var.api_enabled || alarm.namespace != "AWS/ApiGateway" }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

locals {
  # In data-flow order, two a row.
  widgets = [
    { title = "Posts", stat = "Sum", metrics = [
      for metric in ["Count", "4XXError", "5XXError"] : ["AWS/ApiGateway", metric, "ApiName", var.api_name, "Stage", var.api_stage_name]
    ] },
    { title = "Latency of posts, ms", stat = "p99", metrics = [
      for metric in ["Latency", "IntegrationLatency"] : ["AWS/ApiGateway", metric, "ApiName", var.api_name, "Stage", var.api_stage_name]
    ] },
    { title = "Records into the stream", stat = "Sum", metrics = [
      for metric in ["IncomingRecords", "WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"] : ["AWS/Kinesis", metric, "StreamName", var.stream_name]
    ] },
    { title = "How far behind, ms", stat = "Maximum", metrics = [
      ["AWS/Lambda", "IteratorAge", "FunctionName", var.function_name],
      [var.metrics_namespace, "BatchDuration", "FunctionName", var.function_name],
    ] },
    { title = "Readings", stat = "Sum", metrics = [
      for metric in ["ReadingsCounted", "Duplicates", "DeadLetters", "FailedGroups"] : [var.metrics_namespace, metric, "FunctionName", var.function_name]
    ] },
    { title = "Aggregator", stat = "Sum", metrics = [
      for metric in ["Invocations", "Errors", "Throttles"] : ["AWS/Lambda", metric, "FunctionName", var.function_name]
    ] },
    { title = "Table", stat = "Sum", metrics = [
      for metric in ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"] : ["AWS/DynamoDB", metric, "TableName", var.table_name]
    ] },
    { title = "Dead letters waiting", stat = "Maximum", metrics = [
      for metric in ["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"] : ["AWS/SQS", metric, "QueueName", var.dead_letter_queue_name]
    ] },
    { title = "Archive freshness, s", stat = "Maximum", metrics = [
      ["AWS/Firehose", "DeliveryToS3.DataFreshness", "DeliveryStreamName", var.delivery_stream_name],
    ] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for index, widget in [for widget in local.widgets : widget if var.api_enabled || widget.metrics[0][0] != "AWS/ApiGateway"] : {
        type   = "metric"
        width  = 12
        height = 6
        x      = 12 * (index % 2)
        y      = 6 * floor(index / 2)
        properties = {
          title   = widget.title
          stat    = widget.stat
          metrics = widget.metrics
          period  = 60
          view    = "timeSeries"
          region  = data.aws_region.current.name
        }
      }
    ]
  })
}
