locals {
  function = { FunctionName = var.name }
  delivery = { DeliveryStreamName = var.delivery_stream_name }

  # Sums and maxima of five minutes. Nothing to report is nothing wrong.
  alarms = {
    iterator-age = {
      description = "The curator is more than ${var.iterator_age_seconds_max} s behind; after ${var.maximum_record_age_in_seconds} s what it has not delivered goes to the bucket, under aws/lambda/."
      namespace   = "AWS/Lambda", metric = "IteratorAge", dimensions = local.function
      statistic   = "Maximum", threshold = var.iterator_age_seconds_max * 1000
    }
    errors = {
      description = "Invocations of the curator fail; their batches come again."
      namespace   = "AWS/Lambda", metric = "Errors", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    throttles = {
      description = "The curator lacks concurrency."
      namespace   = "AWS/Lambda", metric = "Throttles", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    failure-destination = {
      description = "A batch that Lambda gave up could not be written to the bucket."
      namespace   = "AWS/Lambda", metric = "DestinationDeliveryFailures", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    unreadable = {
      description = "Items of the table cannot be read, and are left out of the curated data; the log says which."
      namespace   = var.metrics_namespace, metric = "UnreadableItems", dimensions = local.function
      statistic   = "Sum", threshold = 0
    }
    freshness = {
      description = "The oldest row not yet delivered is more than ${var.buffering_interval_seconds + 600} s old."
      namespace   = "AWS/Firehose", metric = "DeliveryToS3.DataFreshness", dimensions = local.delivery
      statistic   = "Maximum", threshold = var.buffering_interval_seconds + 600
    }
    conversion = {
      description = "Rows do not fit the Glue table's schema; they lie in the bucket, under delivery-errors/curated/."
      namespace   = "AWS/Firehose", metric = "FailedConversion.Records", dimensions = local.delivery
      statistic   = "Sum", threshold = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

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
