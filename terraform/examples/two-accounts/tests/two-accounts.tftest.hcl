# What crosses the border between the accounts, by the real provider without an account. The example is planned whole; what
# AWS would make up is given here, so that the policies can be read.

provider "aws" {
  alias                       = "pipeline"
  region                      = "eu-central-1"
  access_key                  = "dummy"
  secret_key                  = "dummy"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

provider "aws" {
  alias                       = "archive"
  region                      = "eu-central-1"
  access_key                  = "dummy"
  secret_key                  = "dummy"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.pipeline
  values = { account_id = "111111111111" }
}

override_data {
  target = module.encryption.data.aws_caller_identity.current
  values = { account_id = "111111111111" }
}

override_data {
  target = module.aggregator.data.aws_caller_identity.current
  values = { account_id = "111111111111" }
}

override_data {
  target = module.aggregator.module.function.data.aws_caller_identity.current
  values = { account_id = "111111111111" }
}

override_data {
  target = module.dead_letter.data.aws_caller_identity.current
  values = { account_id = "111111111111" }
}

override_data {
  target = module.archive_delivery.module.delivery.data.aws_caller_identity.current
  values = { account_id = "111111111111" }
}

override_data {
  target = data.aws_caller_identity.archive
  values = { account_id = "222222222222" }
}

override_data {
  target = module.archive_encryption.data.aws_caller_identity.current
  values = { account_id = "222222222222" }
}

override_resource {
  target          = module.encryption.aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-central-1:111111111111:key/pipeline" }
}

override_resource {
  target          = module.archive_encryption.aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-central-1:222222222222:key/archive" }
}

override_resource {
  target          = module.stream.aws_kinesis_stream.this
  override_during = plan
  values          = { arn = "arn:aws:kinesis:eu-central-1:111111111111:stream/streamgauge-readings" }
}

override_resource {
  target          = module.statistics.aws_dynamodb_table.this
  override_during = plan
  values          = { arn = "arn:aws:dynamodb:eu-central-1:111111111111:table/device-statistics" }
}

override_resource {
  target          = module.dead_letter.aws_sqs_queue.this
  override_during = plan
  values          = { arn = "arn:aws:sqs:eu-central-1:111111111111:streamgauge-dead-letters" }
}

override_resource {
  target          = module.archive.aws_s3_bucket.this
  override_during = plan
  values          = { arn = "arn:aws:s3:::streamgauge-archive-222222222222" }
}

variables {
  region                      = "eu-central-1"
  aggregator_zip_path         = "../../tests/fixtures/function.zip"
  archive_deployment_role_arn = "arn:aws:iam::222222222222:role/deployment"
}

run "the_archives_account_lets_the_pipelines_roles_in" {
  command = plan

  assert {
    condition = jsonencode({
      for statement in jsondecode(module.archive.bucket_policy_json).Statement :
      statement.Sid => [statement.Principal, statement.Condition.ArnEquals["aws:PrincipalArn"], sort(flatten([statement.Action])), sort(flatten([statement.Resource]))]
      if statement.Effect == "Allow"
      }) == jsonencode({
      DeliveryFindsBucket = [
        { AWS = "arn:aws:iam::111111111111:root" }, "arn:aws:iam::111111111111:role/streamgauge-archive",
        ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
        ["arn:aws:s3:::streamgauge-archive-222222222222"],
      ]
      DeliveryWrites = [
        { AWS = "arn:aws:iam::111111111111:root" }, "arn:aws:iam::111111111111:role/streamgauge-archive",
        ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"],
        ["arn:aws:s3:::streamgauge-archive-222222222222/delivery-errors/*", "arn:aws:s3:::streamgauge-archive-222222222222/raw/*"],
      ]
      AggregatorFindsBucket = [
        { AWS = "arn:aws:iam::111111111111:root" }, "arn:aws:iam::111111111111:role/streamgauge-aggregator",
        ["s3:ListBucket"],
        ["arn:aws:s3:::streamgauge-archive-222222222222"],
      ]
      AggregatorWrites = [
        { AWS = "arn:aws:iam::111111111111:root" }, "arn:aws:iam::111111111111:role/streamgauge-aggregator",
        ["s3:PutObject"],
        ["arn:aws:s3:::streamgauge-archive-222222222222/aws/lambda/*", "arn:aws:s3:::streamgauge-archive-222222222222/dead-letters/*"],
      ]
    })
    error_message = "The bucket must let the pipeline's two roles write, each under its own prefixes, and nobody else."
  }

  assert {
    condition = jsonencode([
      for statement in jsondecode(module.archive_encryption.policy_json).Statement :
      [statement.Principal, statement.Action, statement.Condition] if statement.Sid == "WritersOfOtherAccounts"
      ]) == jsonencode([[
        { AWS = "arn:aws:iam::111111111111:root" },
        ["kms:GenerateDataKey", "kms:Decrypt"],
        {
          ArnEquals    = { "aws:PrincipalArn" = ["arn:aws:iam::111111111111:role/streamgauge-archive", "arn:aws:iam::111111111111:role/streamgauge-aggregator"] }
          StringEquals = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
        },
    ]])
    error_message = "The archive's key must let the pipeline's two roles encrypt through S3."
  }

  assert {
    condition = one([
      for statement in jsondecode(module.archive_encryption.policy_json).Statement : statement.Principal if statement.Sid == "AccountAdministersKey"
    ]) == { AWS = "arn:aws:iam::222222222222:root" }
    error_message = "The archive's key must be administered by the archive's account."
  }
}

run "the_pipelines_account_lets_the_buckets_notifications_in" {
  command = plan

  assert {
    condition = jsonencode([
      for statement in jsondecode(module.dead_letter.queue_policy_json).Statement : [statement.Principal, statement.Resource, statement.Condition] if statement.Effect == "Allow"
      ]) == jsonencode([[
        { Service = "s3.amazonaws.com" },
        "arn:aws:sqs:eu-central-1:111111111111:streamgauge-dead-letters",
        {
          ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::streamgauge-archive-222222222222" }
          StringEquals = { "aws:SourceAccount" = "222222222222" }
        },
    ]])
    error_message = "S3 must be let in for the archive's bucket, in the archive's account."
  }

  assert {
    condition = jsonencode([
      for statement in jsondecode(module.encryption.policy_json).Statement : [statement.Action, statement.Condition] if statement.Sid == "BucketNotifications"
    ]) == jsonencode([[["kms:GenerateDataKey", "kms:Decrypt"], { StringEquals = { "aws:SourceAccount" = "222222222222" } }]])
    error_message = "S3 must be able to encrypt messages for the archive's account's buckets."
  }

  assert {
    condition     = !strcontains(module.encryption.policy_json, "WritersOfOtherAccounts")
    error_message = "Nobody of the archive's account may use the pipeline's key."
  }
}

run "the_pipelines_roles_may_use_the_archives_bucket_and_key" {
  command = plan

  assert {
    condition = jsonencode({
      for statement in jsondecode(module.archive_delivery.policy_json).Statement :
      statement.Sid => [sort(flatten([statement.Resource])), statement.Condition.StringEquals] if can(statement.Condition)
      }) == jsonencode({
      FindBucket   = [["arn:aws:s3:::streamgauge-archive-222222222222"], { "s3:ResourceAccount" = "222222222222" }]
      WriteObjects = [["arn:aws:s3:::streamgauge-archive-222222222222/delivery-errors/*", "arn:aws:s3:::streamgauge-archive-222222222222/raw/*"], { "s3:ResourceAccount" = "222222222222" }]
      UseStreamKey = [["arn:aws:kms:eu-central-1:111111111111:key/pipeline"], { "kms:ViaService" = "kinesis.eu-central-1.amazonaws.com" }]
      UseBucketKey = [["arn:aws:kms:eu-central-1:222222222222:key/archive"], { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }]
    })
    error_message = "Firehose must be able to read with the pipeline's key, and write with the archive's, into its account alone."
  }

  assert {
    condition = jsonencode({
      for statement in jsondecode(module.aggregator.policy_json).Statement :
      statement.Sid => [sort(flatten([statement.Resource])), try(statement.Condition.StringEquals["s3:ResourceAccount"], "any")]
      if contains(["KeepDeadLetters", "FindFailureDestination", "UseKey", "UseArchiveKey"], statement.Sid)
      }) == jsonencode({
      KeepDeadLetters        = [["arn:aws:s3:::streamgauge-archive-222222222222/aws/lambda/*", "arn:aws:s3:::streamgauge-archive-222222222222/dead-letters/*"], "222222222222"]
      FindFailureDestination = [["arn:aws:s3:::streamgauge-archive-222222222222"], "222222222222"]
      UseKey                 = [["arn:aws:kms:eu-central-1:111111111111:key/pipeline"], "any"]
      UseArchiveKey          = [["arn:aws:kms:eu-central-1:222222222222:key/archive"], "any"]
    })
    error_message = "The aggregator must be able to keep dead letters in the archive's account, and there alone."
  }
}
