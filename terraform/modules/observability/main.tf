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
    newer-version = {
      description = "Stored states are of a newer version than the aggregator, as after a rollback; their readings are retried until a newer aggregator runs."
      namespace   = var.metrics_namespace, metric = "NewerVersion", dimensions = local.function
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

# Three questions, in the order in which they are asked: is it healthy, is it correct, what does it cost. Widgets without a
# place stand one after another, 24 columns a row.
resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  # Parsed, so that a template that is no JSON fails the plan and not the apply.
  dashboard_body = jsonencode(jsondecode(templatefile(var.dashboard_template_path, {
    region                        = data.aws_region.current.name
    namespace                     = var.metrics_namespace
    api_enabled                   = var.api_enabled
    api_name                      = var.api_name
    api_stage_name                = var.api_stage_name
    stream_name                   = var.stream_name
    function_name                 = var.function_name
    table_name                    = var.table_name
    dead_letter_queue_name        = var.dead_letter_queue_name
    delivery_stream_name          = var.delivery_stream_name
    curator_function_name         = var.curator_function_name
    curated_delivery_stream_name  = var.curated_delivery_stream_name
    workgroup_name                = var.workgroup_name
    iterator_age_seconds_max      = var.iterator_age_seconds_max
    archive_freshness_seconds_max = var.archive_freshness_seconds_max
  })))
}
