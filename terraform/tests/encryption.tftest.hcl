# The key, by the real provider without an account.

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

run "key" {
  command = plan

  module {
    source = "./modules/encryption"
  }

  variables {
    name = "test"
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key must rotate."
  }

  assert {
    condition     = aws_kms_key.this.deletion_window_in_days == 30
    error_message = "A deleted key must be recoverable for 30 days."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.key.json).Statement :
      statement.Sid == "AccountAdministersKey" ? statement.Principal.AWS == "arn:aws:iam::123456789012:root" : can(statement.Condition)
    ])
    error_message = "The key must be the account's, and every service's use of it bound by a condition."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.key.json).Statement : statement.Sid => statement.Condition
      if can(statement.Condition)
      } == {
      LogGroups           = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:eu-central-1:123456789012:*" } }
      BucketNotifications = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }
    error_message = "Log groups and bucket notifications of this account alone may use the key."
  }
}

run "another_accounts_writers" {
  command = plan

  module {
    source = "./modules/encryption"
  }

  variables {
    name             = "test"
    writer_role_arns = ["arn:aws:iam::111111111111:role/delivery", "arn:aws:iam::111111111111:role/aggregator"]
  }

  assert {
    condition = jsonencode([for statement in jsondecode(data.aws_iam_policy_document.key.json).Statement : statement if statement.Sid == "WritersOfOtherAccounts"]) == jsonencode([{
      Sid       = "WritersOfOtherAccounts"
      Effect    = "Allow"
      Action    = ["kms:GenerateDataKey", "kms:Decrypt"]
      Resource  = "*"
      Principal = { AWS = "arn:aws:iam::111111111111:root" }
      Condition = {
        ArnEquals    = { "aws:PrincipalArn" = var.writer_role_arns }
        StringEquals = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
      }
    }])
    error_message = "The other account's roles may use the key through S3, and for nothing else."
  }
}

run "notifications_of_another_accounts_bucket" {
  command = plan

  module {
    source = "./modules/encryption"
  }

  variables {
    name              = "test"
    bucket_account_id = "222222222222"
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.key.json).Statement : statement.Condition if statement.Sid == "BucketNotifications"
    ]) == { StringEquals = { "aws:SourceAccount" = "222222222222" } }
    error_message = "The other account's bucket notifications must be able to use the key."
  }
}
