# The bucket, by the real provider without an account.

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
  bucket_name           = "archive"
  dead_letter_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:dead-letters"
  kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/test"
}

run "bucket" {
  command = plan

  module {
    source = "./modules/archive"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "The bucket must keep versions."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "The bucket must be closed to the public in all four ways."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs must be off."
  }

  assert {
    condition = one([
      for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule :
      rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    ])
    error_message = "Objects must be encrypted with the stack's key."
  }

  assert {
    condition = jsondecode(data.aws_iam_policy_document.bucket.json).Statement == [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::archive/*", "arn:aws:s3:::archive"]
      Principal = "*"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
    error_message = "The bucket must refuse requests without TLS, and grant nothing."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "A bucket with readings in it must not be destroyed."
  }

  assert {
    condition     = !aws_s3_bucket.this.object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "Object Lock must be asked for."
  }

  assert {
    condition = jsonencode({
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id => {
        status     = rule.status
        prefix     = rule.filter[0].prefix
        transition = [for transition in rule.transition : "${transition.storage_class} ${transition.days}"]
        noncurrent = one(rule.noncurrent_version_expiration[*].noncurrent_days)
        abort      = one(rule.abort_incomplete_multipart_upload[*].days_after_initiation)
        # Current objects never expire by themselves.
        expires = length(rule.expiration)
      }
      }) == jsonencode({
      raw-to-colder-storage              = { status = "Enabled", prefix = "raw/", transition = ["STANDARD_IA 90"], noncurrent = null, abort = null, expires = 0 }
      old-versions-and-abandoned-uploads = { status = "Enabled", prefix = "", transition = [], noncurrent = 90, abort = 7, expires = 0 }
    })
    error_message = "Raw objects must grow cold, old versions and abandoned uploads go, and nothing else expire."
  }

  assert {
    condition = (
      aws_s3_bucket_notification.failures.queue[0].queue_arn == var.dead_letter_queue_arn
      && aws_s3_bucket_notification.failures.queue[0].filter_prefix == "aws/lambda/"
      && contains(aws_s3_bucket_notification.failures.queue[0].events, "s3:ObjectCreated:*")
    )
    error_message = "The dead-letter queue must be told of Lambda's failure objects."
  }
}

run "object_lock" {
  command = plan

  module {
    source = "./modules/archive"
  }

  variables {
    object_lock_days = 30
    object_lock_mode = "COMPLIANCE"
  }

  assert {
    condition = (
      aws_s3_bucket.this.object_lock_enabled
      && aws_s3_bucket_object_lock_configuration.this[0].rule[0].default_retention[0].mode == "COMPLIANCE"
      && aws_s3_bucket_object_lock_configuration.this[0].rule[0].default_retention[0].days == 30
    )
    error_message = "Object Lock must hold for the days asked for."
  }
}

run "roles_of_another_account_are_let_in_to_their_prefixes" {
  command = plan

  module {
    source = "./modules/archive"
  }

  variables {
    delivery_role_arn   = "arn:aws:iam::111111111111:role/delivery"
    aggregator_role_arn = "arn:aws:iam::111111111111:role/aggregator"

    curated_delivery_role_arn = "arn:aws:iam::111111111111:role/curated"
    curator_role_arn          = "arn:aws:iam::111111111111:role/curator"
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement :
      statement.Sid => { actions = toset(flatten([statement.Action])), resources = toset(flatten([statement.Resource])) } if statement.Effect == "Allow"
      } == {
      DeliveryFindsBucket   = { actions = toset(["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]), resources = toset(["arn:aws:s3:::archive"]) }
      DeliveryWrites        = { actions = toset(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"]), resources = toset(["arn:aws:s3:::archive/raw/*", "arn:aws:s3:::archive/delivery-errors/*"]) }
      AggregatorFindsBucket = { actions = toset(["s3:ListBucket"]), resources = toset(["arn:aws:s3:::archive"]) }
      AggregatorWrites      = { actions = toset(["s3:PutObject"]), resources = toset(["arn:aws:s3:::archive/dead-letters/*", "arn:aws:s3:::archive/aws/lambda/*"]) }

      CuratedDeliveryFindsBucket = { actions = toset(["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]), resources = toset(["arn:aws:s3:::archive"]) }
      CuratedDeliveryWrites      = { actions = toset(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"]), resources = toset(["arn:aws:s3:::archive/curated/*", "arn:aws:s3:::archive/delivery-errors/curated/*"]) }
      CuratorFindsBucket         = { actions = toset(["s3:ListBucket"]), resources = toset(["arn:aws:s3:::archive"]) }
      CuratorWrites              = { actions = toset(["s3:PutObject"]), resources = toset(["arn:aws:s3:::archive/aws/lambda/*"]) }
    }
    error_message = "The other account's roles may do these things and nothing else."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement :
      statement.Principal == { AWS = "arn:aws:iam::111111111111:root" }
      && statement.Condition == { ArnEquals = { "aws:PrincipalArn" = {
        Delivery        = var.delivery_role_arn
        CuratedDelivery = var.curated_delivery_role_arn
        Curator         = var.curator_role_arn
        Aggregator      = var.aggregator_role_arn
      }[regex("^(.*)(?:FindsBucket|Writes)$", statement.Sid)[0]] } }
      if statement.Effect == "Allow"
    ])
    error_message = "Of the other account these roles alone may be let in."
  }

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement.Sid if statement.Effect == "Deny"] == ["TlsOnly"]
    error_message = "The other account must use TLS too."
  }
}

run "the_queue_is_told_of_one_mappings_failures_where_there_are_others" {
  command = plan

  module {
    source = "./modules/archive"
  }

  variables {
    failure_prefix = "aws/lambda/2b733aaa-8ac3-cdf5-af3a-1827b3b11284/"
  }

  assert {
    condition     = aws_s3_bucket_notification.failures.queue[0].filter_prefix == var.failure_prefix
    error_message = "Failures of other mappings are none that could be redriven."
  }
}

run "failures_that_lambda_writes_elsewhere_are_refused" {
  command = plan

  module {
    source = "./modules/archive"
  }

  variables {
    failure_prefix = "failures/"
  }

  expect_failures = [var.failure_prefix]
}

run "a_queue_of_another_region_is_refused" {
  command = plan

  module {
    source = "./modules/archive"
  }

  variables {
    dead_letter_queue_arn = "arn:aws:sqs:us-east-1:123456789012:dead-letters"
  }

  expect_failures = [aws_s3_bucket_notification.failures]
}
