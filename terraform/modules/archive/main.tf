# Everything that was posted, by arrival, in a bucket that keeps it: in the account of the pipeline, or in one of its own,
# in the region of the dead-letter queue, because S3 tells queues of its own region alone.

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # From names rather than attributes, so that a plan shows the policies whole before anything is there.
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket_name}"

  # What roles of other accounts may do, beside what their own policies say.
  grants = concat(
    var.delivery_role_arn == null ? [] : [
      { sid = "DeliveryFindsBucket", role_arn = var.delivery_role_arn, actions = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], resources = [local.bucket_arn] },
      { sid = "DeliveryWrites", role_arn = var.delivery_role_arn, actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"], resources = ["${local.bucket_arn}/raw/*", "${local.bucket_arn}/delivery-errors/*"] },
    ],
    var.curated_delivery_role_arn == null ? [] : [
      { sid = "CuratedDeliveryFindsBucket", role_arn = var.curated_delivery_role_arn, actions = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], resources = [local.bucket_arn] },
      { sid = "CuratedDeliveryWrites", role_arn = var.curated_delivery_role_arn, actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"], resources = ["${local.bucket_arn}/curated/*", "${local.bucket_arn}/delivery-errors/curated/*"] },
    ],
    var.curator_role_arn == null ? [] : [
      { sid = "CuratorFindsBucket", role_arn = var.curator_role_arn, actions = ["s3:ListBucket"], resources = [local.bucket_arn] },
      { sid = "CuratorWrites", role_arn = var.curator_role_arn, actions = ["s3:PutObject"], resources = ["${local.bucket_arn}/aws/lambda/*"] },
    ],
    var.aggregator_role_arn == null ? [] : [
      { sid = "AggregatorFindsBucket", role_arn = var.aggregator_role_arn, actions = ["s3:ListBucket"], resources = [local.bucket_arn] },
      { sid = "AggregatorWrites", role_arn = var.aggregator_role_arn, actions = ["s3:PutObject"], resources = ["${local.bucket_arn}/dead-letters/*", "${local.bucket_arn}/aws/lambda/*"] },
    ],
  )
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18: who reads objects is recorded by CloudTrail's data events, which an account sets once for all its buckets
  #checkov:skip=CKV_AWS_144: a copy in a second region doubles the cost, and where data may lie is the user's choice; versions and Object Lock protect against deletion
  bucket              = var.bucket_name
  object_lock_enabled = var.object_lock_days > 0
  force_destroy       = var.force_destroy
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    # One data key for many objects, rather than a call of KMS for each.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  count = var.object_lock_days > 0 ? 1 : 0

  bucket = aws_s3_bucket.this.id

  rule {
    default_retention {
      mode = var.object_lock_mode
      days = var.object_lock_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "raw-to-colder-storage"
    status = "Enabled"

    filter {
      prefix = "raw/"
    }

    transition {
      days          = var.raw_transition_days
      storage_class = var.raw_transition_storage_class
    }
  }

  rule {
    id     = "old-versions-and-abandoned-uploads"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_version_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.bucket.json

  # S3 takes one change of a bucket's access at a time.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.bucket_arn, "${local.bucket_arn}/*"]

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

  # The account as the principal and its role as a condition: a role that is named as the principal has to be there
  # first, and when it is made anew the policy goes on naming the one that is gone.
  dynamic "statement" {
    for_each = local.grants

    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = statement.value.resources

      principals {
        type        = "AWS"
        identifiers = ["arn:${data.aws_partition.current.partition}:iam::${split(":", statement.value.role_arn)[4]}:root"]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:PrincipalArn"
        values   = [statement.value.role_arn]
      }
    }
  }
}

# Batches that Lambda gave up are whole objects under this prefix, which Lambda chooses.
resource "aws_s3_bucket_notification" "failures" {
  bucket = aws_s3_bucket.this.id

  queue {
    id            = "lambda-failures"
    queue_arn     = var.dead_letter_queue_arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = var.failure_prefix
  }

  lifecycle {
    precondition {
      condition     = split(":", var.dead_letter_queue_arn)[3] == data.aws_region.current.name
      error_message = "the bucket must be in the region of the dead-letter queue: S3 tells queues of its own region alone"
    }
  }
}
