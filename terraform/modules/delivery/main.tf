# What a Firehose stream needs to deliver into a bucket, whoever's account that is in: its role and its log. The stream itself
# is its module's own.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  bucket_account_id  = coalesce(var.bucket_account_id, data.aws_caller_identity.current.account_id)
  bucket_kms_key_arn = coalesce(var.bucket_kms_key_arn, var.kms_key_arn)

  # From names rather than attributes, so that a plan shows the policies whole before anything is there.
  role_arn        = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${var.name}"
  log_group_name  = "/aws/kinesisfirehose/${var.name}"
  log_stream_name = "delivery"
  log_stream_arn  = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:log-group:${local.log_group_name}:log-stream:${local.log_stream_name}"
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338: how long logs are kept is the user's choice; they hold no readings and nothing that is needed for a year
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_cloudwatch_log_stream" "this" {
  name           = local.log_stream_name
  log_group_name = aws_cloudwatch_log_group.this.name
}

resource "aws_iam_role" "this" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "deliver"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["firehose.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "this" {
  # Where the rows come from.
  source_policy_documents = [var.source_policy_json]

  statement {
    sid       = "FindBucket"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  # Into another account's bucket Firehose writes with an ACL that gives the bucket's owner the object.
  statement {
    sid = "WriteObjects"
    actions = concat(
      ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
      local.bucket_account_id == data.aws_caller_identity.current.account_id ? [] : ["s3:PutObjectAcl"],
    )
    resources = [for folder in var.folders : "${var.bucket_arn}/${folder}/*"]

    # Who takes over the name of a bucket that was deleted must not be sent what it got.
    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  statement {
    sid       = "UseBucketKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.bucket_kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.name}.amazonaws.com"]
    }
  }

  statement {
    sid       = "WriteLog"
    actions   = ["logs:PutLogEvents"]
    resources = [local.log_stream_arn]
  }
}
