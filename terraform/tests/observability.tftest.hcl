# Alarms and dashboard, by the real provider without an account.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "dummy"
  secret_key                  = "dummy"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

variables {
  name                   = "test"
  api_name               = "api"
  api_stage_name         = "v1"
  stream_name            = "readings"
  function_name          = "aggregator"
  table_name             = "device-statistics"
  dead_letter_queue_name = "dead-letters"
  delivery_stream_name   = "archive"

  dashboard_template_path = "../dashboards/cloudwatch/dashboard.json.tftpl"
  alarm_actions           = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
}

run "alarms" {
  command = plan

  module {
    source = "./modules/observability"
  }

  assert {
    condition = jsonencode({
      for watched, alarm in aws_cloudwatch_metric_alarm.this : watched => join(" ", [alarm.namespace, alarm.metric_name, alarm.statistic, alarm.threshold, join(",", values(alarm.dimensions))])
      }) == jsonencode({
      iterator-age           = "AWS/Lambda IteratorAge Maximum 300000 aggregator"
      aggregator-errors      = "AWS/Lambda Errors Sum 0 aggregator"
      aggregator-throttles   = "AWS/Lambda Throttles Sum 0 aggregator"
      failure-destination    = "AWS/Lambda DestinationDeliveryFailures Sum 0 aggregator"
      failed-groups          = "Streamgauge FailedGroups Sum 100 aggregator"
      corrupt-state          = "Streamgauge DeadLetters_corrupt_state Sum 0 aggregator"
      newer-version          = "Streamgauge NewerVersion Sum 0 aggregator"
      stream-write-throttles = "AWS/Kinesis WriteProvisionedThroughputExceeded Sum 0 readings"
      stream-read-throttles  = "AWS/Kinesis ReadProvisionedThroughputExceeded Sum 0 readings"
      table-write-throttles  = "AWS/DynamoDB WriteThrottleEvents Sum 0 device-statistics"
      table-read-throttles   = "AWS/DynamoDB ReadThrottleEvents Sum 0 device-statistics"
      archive-freshness      = "AWS/Firehose DeliveryToS3.DataFreshness Maximum 900 archive"
      api-errors             = "AWS/ApiGateway 5XXError Sum 0 api,v1"
    })
    error_message = "Every alarm must watch its metric."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.comparison_operator == "GreaterThanThreshold" && alarm.treat_missing_data == "notBreaching" && alarm.evaluation_periods == 1
    ])
    error_message = "One period over the threshold must be enough, and silence no alarm."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : tolist(alarm.alarm_actions) == var.alarm_actions])
    error_message = "Alarms must tell those who asked."
  }
}

run "what_arrives_and_is_not_read_raises_an_alarm" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    curator_function_name = "curator"
  }

  assert {
    condition = jsonencode({
      for watched, alarm in aws_cloudwatch_metric_alarm.unread : watched => {
        for query in alarm.metric_query : query.id => join(" ", concat(
          [for text in [query.expression] : text if query.return_data == true],
          [for metric in query.metric : join(" ", [metric.namespace, metric.metric_name, metric.stat, metric.period, join(",", [for name, value in metric.dimensions : "${name}=${value}"])])],
        ))
      }
      }) == jsonencode({
      aggregator-not-invoked = {
        waiting = "FILL(IF(arrived > 0, 1) > IF(read > 0, 1), REPEAT)"
        arrived = "AWS/Kinesis IncomingRecords Sum 300 StreamName=readings"
        read    = "AWS/Lambda Invocations Sum 300 FunctionName=aggregator"
      }
      archive-not-read = {
        waiting = "FILL(IF(arrived > 0, 1) > IF(read > 0, 1), REPEAT)"
        arrived = "AWS/Kinesis IncomingRecords Sum 300 StreamName=readings"
        read    = "AWS/Firehose DataReadFromKinesisStream.Records Sum 300 DeliveryStreamName=archive"
      }
      curator-not-invoked = {
        waiting = "FILL(IF(arrived > 0, 1) > IF(read > 0, 1), REPEAT)"
        arrived = "AWS/DynamoDB ConsumedWriteCapacityUnits Sum 300 TableName=device-statistics"
        read    = "AWS/Lambda Invocations Sum 300 FunctionName=curator"
      }
    })
    error_message = "What is read must be held against what arrives."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.unread :
      alarm.comparison_operator == "GreaterThanThreshold" && alarm.threshold == 0 && alarm.evaluation_periods == 3 && alarm.datapoints_to_alarm == 3
    ])
    error_message = "A batching window, or a record just before a period's end, must be no alarm."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.unread : alarm.treat_missing_data == "ignore"])
    error_message = "Silence must neither raise the alarm nor end it."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.unread : tolist(alarm.alarm_actions) == var.alarm_actions && tolist(alarm.ok_actions) == var.alarm_actions
    ])
    error_message = "Alarms must tell those who asked."
  }
}

run "long_batches_are_waited_for" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    batching_window_seconds = 300
    timeout_seconds         = 900
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.unread["aggregator-not-invoked"].evaluation_periods == 9 && aws_cloudwatch_metric_alarm.unread["aggregator-not-invoked"].datapoints_to_alarm == 9
    error_message = "A batching window, the batch before and the batch itself must be no alarm."
  }
}

run "dashboard" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    curator_function_name        = "curator"
    curated_delivery_stream_name = "curated"
    workgroup_name               = "analysts"
  }

  assert {
    condition = [
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : regex("^## (.*)\n", widget.properties.markdown)[0] if widget.type == "text"
    ] == ["Is the pipeline healthy?", "Is it correct?", "What does it cost?"]
    error_message = "The dashboard must answer three questions, in this order."
  }

  # What stands under each of the three questions.
  assert {
    condition = alltrue([
      for metric in [
        "Count", "Latency", "IteratorAge", "Errors", "Throttles", "WriteProvisionedThroughputExceeded",
        "WriteThrottleEvents", "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage",
        "DeliveryToS3.DataFreshness", "FailedGroups", "NewerVersion", "FailedRows", "ReadingsCounted",
        "DeadLetters_conflicting_duplicate", "UnreadableItems", "FailedConversion.Records",
        "ConsumedWriteCapacityUnits", "WriteUnits", "Invocations", "IncomingBytes", "DeliveryToS3.Bytes",
        "ProcessedBytes",
        ] : contains(flatten([
          for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [for metric in try(widget.properties.metrics, []) : try(metric[1], "")]
      ]), metric)
    ])
    error_message = "The dashboard must show what each question needs."
  }

  assert {
    condition = toset(flatten([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [
        for metric in try(widget.properties.metrics, []) : [for part in metric : part if try(contains(["v1", "api", "readings", "aggregator", "device-statistics", "dead-letters", "archive", "curator", "curated", "analysts"], part), false)]
      ]
    ])) == toset(["v1", "api", "readings", "aggregator", "device-statistics", "dead-letters", "archive", "curator", "curated", "analysts"])
    error_message = "The dashboard must show this stack's own resources."
  }

  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.width <= 24 && !can(widget.x)])
    error_message = "Widgets must fit the dashboard's 24 columns, and flow."
  }

  assert {
    condition = alltrue([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets :
      widget.properties.region == "eu-central-1" && length(widget.properties.title) > 0 && contains(["timeSeries", "singleValue"], widget.properties.view) if widget.type == "metric"
    ])
    error_message = "Widgets must say what they show, of which region."
  }
}

run "without_a_curator_nothing_shows_one" {
  command = plan

  module {
    source = "./modules/observability"
  }

  assert {
    condition     = !strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "FailedRows") && !strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "FailedConversion") && !strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "AWS/Athena")
    error_message = "What is not there must not be shown."
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.unread) == ["aggregator-not-invoked", "archive-not-read"]
    error_message = "What is not there must not be watched."
  }
}

run "without_an_api_nothing_watches_one" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    api_enabled    = false
    api_name       = null
    api_stage_name = null
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "api-errors") && !strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "AWS/ApiGateway")
    error_message = "An API that is not there must not be watched."
  }
}
