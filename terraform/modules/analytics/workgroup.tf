# Where questions are asked: answers are encrypted and short-lived, and a question that would read too much is stopped.

resource "aws_athena_workgroup" "this" {
  name          = var.name
  description   = "Questions about ${var.name}"
  force_destroy = var.force_destroy

  configuration {
    # Nobody's own settings may take the place of these.
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.bytes_scanned_max

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location       = "s3://${aws_s3_bucket.results.id}/results/"
      expected_bucket_owner = local.account_id

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.kms_key_arn
      }
    }
  }
}

locals {
  results_bucket_name = coalesce(var.results_bucket_name, "${var.name}-athena-results-${local.account_id}")
  results_bucket_arn  = "arn:${data.aws_partition.current.partition}:s3:::${local.results_bucket_name}"
}

# A bucket of its own: the archive keeps what it has, and these answers go.
resource "aws_s3_bucket" "results" {
  #checkov:skip=CKV_AWS_18: who reads objects is recorded by CloudTrail's data events, which an account sets once for all its buckets
  #checkov:skip=CKV_AWS_21: answers can be asked for again; there is nothing to keep older versions of
  #checkov:skip=CKV_AWS_144: answers can be asked for again; there is nothing to copy to a second region
  #checkov:skip=CKV2_AWS_62: nobody has to be told of an answer but who asked
  bucket        = local.results_bucket_name
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "results" {
  bucket                  = aws_s3_bucket.results.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "results" {
  bucket = aws_s3_bucket.results.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "results" {
  bucket = aws_s3_bucket.results.id

  rule {
    # One data key for many objects, rather than a call of KMS for each.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "results" {
  bucket = aws_s3_bucket.results.id

  rule {
    id     = "answers"
    status = "Enabled"

    filter {}

    expiration {
      days = var.results_retention_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_policy" "results" {
  bucket = aws_s3_bucket.results.id
  policy = data.aws_iam_policy_document.results.json

  # S3 takes one change of a bucket's access at a time.
  depends_on = [aws_s3_bucket_public_access_block.results]
}

data "aws_iam_policy_document" "results" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.results_bucket_arn, "${local.results_bucket_arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}
