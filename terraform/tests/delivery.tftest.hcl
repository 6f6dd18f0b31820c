# What a Firehose stream delivers by, by the real provider without an account.

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
  name               = "delivery"
  source_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"Read\",\"Effect\":\"Allow\",\"Action\":\"glue:GetTable\",\"Resource\":\"arn:aws:glue:eu-central-1:123456789012:catalog\"}]}"
  folders            = ["one", "errors/one"]
  bucket_arn         = "arn:aws:s3:::bucket"
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/test"
  log_retention_days = 90
}

run "role" {
  command = plan

  module {
    source = "./modules/delivery"
  }

  assert {
    condition     = aws_iam_role.this.name == "delivery" && output.role_arn == "arn:aws:iam::123456789012:role/delivery"
    error_message = "The role that is named must be the one that there is."
  }

  assert {
    condition     = jsondecode(aws_iam_role.this.assume_role_policy) == jsondecode(output.trust_json) && jsondecode(output.trust_json).Statement[0].Condition.StringEquals["sts:ExternalId"] == "123456789012"
    error_message = "Only Firehose for this account may take the role."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.this.policy) == jsondecode(output.policy_json)
    error_message = "The policy that is shown must be the role's."
  }

  assert {
    condition     = [for statement in jsondecode(output.policy_json).Statement : statement.Resource if statement.Sid == "Read"] == ["arn:aws:glue:eu-central-1:123456789012:catalog"]
    error_message = "Firehose must be able to read what it delivers."
  }

  assert {
    condition     = toset([for statement in jsondecode(output.policy_json).Statement : statement.Resource if statement.Sid == "WriteObjects"][0]) == toset(["arn:aws:s3:::bucket/one/*", "arn:aws:s3:::bucket/errors/one/*"])
    error_message = "Firehose must write its folders alone."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.this.retention_in_days == 90 && aws_cloudwatch_log_group.this.name == "/aws/kinesisfirehose/delivery"
    error_message = "The log must be encrypted, and kept for as long as was said."
  }
}
