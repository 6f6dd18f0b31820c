# A function and what surrounds it, by the real provider without an account.

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

variables {
  function_name = "function"
  description   = "A function"
  zip_path      = "tests/fixtures/function.zip"
  policy_json   = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sqs:SendMessage\",\"Resource\":\"arn:aws:sqs:eu-central-1:123456789012:queue\"}]}"
  environment   = { NAME = "value" }
  kms_key_arn   = "arn:aws:kms:eu-central-1:123456789012:key/test"
}

run "defaults" {
  command = plan

  module {
    source = "./modules/lambda"
  }

  assert {
    condition     = aws_lambda_function.this.runtime == "provided.al2023" && tolist(aws_lambda_function.this.architectures) == tolist(["arm64"])
    error_message = "The function must be a binary for provided.al2023 on arm64."
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == filebase64sha256(var.zip_path)
    error_message = "Another zip must be another deployment."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables == tomap({ NAME = "value" })
    error_message = "The function must get its environment."
  }

  assert {
    condition     = aws_lambda_function.this.kms_key_arn == var.kms_key_arn
    error_message = "Environment variables must be encrypted with the stack's key."
  }

  assert {
    condition     = aws_lambda_function.this.tracing_config[0].mode == "Active"
    error_message = "The function must be traced."
  }

  assert {
    condition     = aws_lambda_function.this.publish && aws_lambda_alias.live.name == "live"
    error_message = "Every deployment must be a version, which the alias names."
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == -1 && length(aws_lambda_provisioned_concurrency_config.live) == 0
    error_message = "Concurrency must be asked for."
  }

  assert {
    condition     = aws_lambda_function.this.logging_config[0].log_group == "/aws/lambda/function"
    error_message = "The function must log to its own group."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 90
    error_message = "The log must be kept for 90 days."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn
    error_message = "The log must be encrypted with the stack's key."
  }

  assert {
    condition     = jsondecode(data.aws_iam_policy_document.trust.json).Statement[0].Principal == { Service = "lambda.amazonaws.com" }
    error_message = "Lambda alone may take the role."
  }
}

run "concurrency_as_asked" {
  command = plan

  module {
    source = "./modules/lambda"
  }

  variables {
    reserved_concurrent_executions    = 20
    provisioned_concurrent_executions = 2
    architecture                      = "x86_64"
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == 20
    error_message = "Concurrency must be reserved as asked."
  }

  assert {
    condition     = aws_lambda_provisioned_concurrency_config.live[0].provisioned_concurrent_executions == 2 && aws_lambda_provisioned_concurrency_config.live[0].qualifier == "live"
    error_message = "The alias must be kept warm as asked."
  }

  assert {
    condition     = tolist(aws_lambda_function.this.architectures) == tolist(["x86_64"])
    error_message = "The function must be of the architecture asked for."
  }
}
