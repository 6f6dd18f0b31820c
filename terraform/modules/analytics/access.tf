# Who may ask. The policy is for roles that people or QuickSight have already; nobody gets it by itself.

locals {
  arn_place = "${data.aws_region.current.name}:${local.account_id}"
  glue_arn  = "arn:${data.aws_partition.current.partition}:glue:${local.arn_place}"
}

resource "aws_iam_policy" "analyst" {
  name        = "${var.name}-analyst"
  description = "Ask questions about ${var.name} in its Athena workgroup"
  policy      = data.aws_iam_policy_document.analyst.json
}

resource "aws_iam_role_policy" "reader" {
  for_each = var.reader_role_names

  name   = "${var.name}-analyst"
  role   = each.value
  policy = data.aws_iam_policy_document.analyst.json
}

data "aws_iam_policy_document" "analyst" {
  statement {
    sid = "Ask"
    actions = [
      "athena:BatchGetNamedQuery",
      "athena:BatchGetQueryExecution",
      "athena:GetNamedQuery",
      "athena:GetQueryExecution",
      "athena:GetQueryResults",
      "athena:GetQueryResultsStream",
      "athena:GetQueryRuntimeStatistics",
      "athena:GetWorkGroup",
      "athena:ListNamedQueries",
      "athena:ListQueryExecutions",
      "athena:StartQueryExecution",
      "athena:StopQueryExecution",
    ]
    resources = ["arn:${data.aws_partition.current.partition}:athena:${local.arn_place}:workgroup/${var.name}"]
  }

  statement {
    sid = "SeeCatalog"
    actions = [
      "athena:GetDataCatalog",
      "athena:GetDatabase",
      "athena:GetTableMetadata",
      "athena:ListDatabases",
      "athena:ListTableMetadata",
    ]
    resources = ["arn:${data.aws_partition.current.partition}:athena:${local.arn_place}:datacatalog/AwsDataCatalog"]
  }

  statement {
    sid     = "ReadSchema"
    actions = ["glue:GetDatabase", "glue:GetDatabases", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"]
    resources = [
      "${local.glue_arn}:catalog",
      "${local.glue_arn}:database/${var.database_name}",
      "${local.glue_arn}:table/${var.database_name}/*",
    ]
  }

  statement {
    sid       = "FindData"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = [local.bucket_arn]

    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  # The tables' files and nothing else of the bucket.
  statement {
    sid       = "ReadData"
    actions   = ["s3:GetObject"]
    resources = [for table in local.tables : "${local.bucket_arn}/${table.prefix}/*"]

    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.bucket_account_id]
    }
  }

  statement {
    sid       = "FindAnswers"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [local.results_bucket_arn]
  }

  statement {
    sid       = "KeepAnswers"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${local.results_bucket_arn}/results/*"]

    condition {
      test     = "StringEquals"
      variable = "s3:ResourceAccount"
      values   = [local.account_id]
    }
  }

  statement {
    sid       = "UseDataKey"
    actions   = ["kms:Decrypt"]
    resources = [local.bucket_kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.name}.amazonaws.com"]
    }
  }

  statement {
    sid       = "UseAnswersKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.name}.amazonaws.com"]
    }
  }
}
