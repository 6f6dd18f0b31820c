# The dead-letter queue, by the real provider without an account.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "dummy"
  secret_key                  = "dummy"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

run "queue" {
  command = plan

  module {
    source = "./modules/dead-letter"
  }

  variables {
    name               = "dead-letters"
    kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/test"
    archive_bucket_arn = "arn:aws:s3:::archive"
    alarm_actions      = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
  }

  assert {
    condition     = aws_sqs_queue.this.message_retention_seconds == 14 * 86400
    error_message = "Dead letters must wait for 14 days."
  }

  assert {
    condition     = aws_sqs_queue.this.max_message_size == 262144
    error_message = "Messages must be as large as the aggregator takes them to be."
  }

  assert {
    condition     = aws_sqs_queue.this.kms_master_key_id == var.kms_key_arn
    error_message = "Messages must be encrypted with the stack's key."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.age.metric_name == "ApproximateAgeOfOldestMessage" && aws_cloudwatch_metric_alarm.age.threshold == 7 * 86400
    error_message = "A dead letter older than 7 days must raise an alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.number.metric_name == "ApproximateNumberOfMessagesVisible" && aws_cloudwatch_metric_alarm.number.threshold == 0
    error_message = "The first dead letter must raise an alarm."
  }

  assert {
    condition = alltrue([
      for alarm in [aws_cloudwatch_metric_alarm.age, aws_cloudwatch_metric_alarm.number] :
      alarm.namespace == "AWS/SQS" && alarm.dimensions == tomap({ QueueName = "dead-letters" }) && alarm.statistic == "Maximum"
      && alarm.comparison_operator == "GreaterThanThreshold" && alarm.evaluation_periods == 1 && alarm.treat_missing_data == "notBreaching"
    ])
    error_message = "Alarms must watch this queue, and one period over the threshold be enough."
  }

  assert {
    condition     = alltrue([for alarm in [aws_cloudwatch_metric_alarm.age, aws_cloudwatch_metric_alarm.number] : tolist(alarm.alarm_actions) == var.alarm_actions])
    error_message = "Alarms must tell those who asked."
  }

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.queue.json).Statement : statement if statement.Effect == "Allow"
      ] == [{
        Sid       = "FailureObjects"
        Effect    = "Allow"
        Action    = "sqs:SendMessage"
        Resource  = "arn:aws:sqs:eu-central-1:123456789012:dead-letters"
        Principal = { Service = "s3.amazonaws.com" }
        Condition = {
          ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::archive" }
          StringEquals = { "aws:SourceAccount" = "123456789012" }
        }
    }]
    error_message = "S3 alone may send, for this account's archive bucket alone."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(data.aws_iam_policy_document.queue.json).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "The queue must refuse requests without TLS."
  }
}

run "a_bucket_in_another_account" {
  command = plan

  module {
    source = "./modules/dead-letter"
  }

  variables {
    name               = "dead-letters"
    kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/test"
    archive_bucket_arn = "arn:aws:s3:::archive"
    archive_account_id = "222222222222"
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.queue.json).Statement : statement.Condition if statement.Effect == "Allow"
      ]) == {
      ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::archive" }
      StringEquals = { "aws:SourceAccount" = "222222222222" }
    }
    error_message = "S3 alone may send, for the other account's archive bucket alone."
  }
}
