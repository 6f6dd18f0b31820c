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
  alarm_actions          = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
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

run "dashboard" {
  command = plan

  module {
    source = "./modules/observability"
  }

  assert {
    condition = alltrue([
      for service in ["AWS/ApiGateway", "AWS/Kinesis", "AWS/Lambda", "AWS/DynamoDB", "AWS/SQS", "AWS/Firehose", "Streamgauge"] :
      contains(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [for metric in widget.properties.metrics : metric[0]]]), service)
    ])
    error_message = "The dashboard must show every service of the pipeline."
  }

  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.x + widget.width <= 24])
    error_message = "Widgets must fit the dashboard's 24 columns."
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
