# One role an action, each for its own integrations.

locals {
  service_policies = {
    put_record  = { actions = ["kinesis:PutRecord"], resource = var.stream_arn, key_actions = ["kms:GenerateDataKey"], via = "kinesis" }
    put_records = { actions = ["kinesis:PutRecords"], resource = var.stream_arn, key_actions = ["kms:GenerateDataKey"], via = "kinesis" }
    get_item    = { actions = ["dynamodb:GetItem"], resource = var.table_arn, key_actions = ["kms:Decrypt"], via = "dynamodb" }
  }
}

resource "aws_iam_role" "put_record" {
  name               = "${var.name}-put-record"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role" "put_records" {
  name               = "${var.name}-put-records"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role" "get_item" {
  name               = "${var.name}-get-item"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "put_record" {
  name   = "put-record"
  role   = aws_iam_role.put_record.id
  policy = data.aws_iam_policy_document.service["put_record"].json
}

resource "aws_iam_role_policy" "put_records" {
  name   = "put-records"
  role   = aws_iam_role.put_records.id
  policy = data.aws_iam_policy_document.service["put_records"].json
}

resource "aws_iam_role_policy" "get_item" {
  name   = "get-item"
  role   = aws_iam_role.get_item.id
  policy = data.aws_iam_policy_document.service["get_item"].json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["apigateway.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "service" {
  for_each = local.service_policies

  statement {
    sid       = "CallService"
    actions   = each.value.actions
    resources = [each.value.resource]
  }

  statement {
    sid       = "UseKey"
    actions   = each.value.key_actions
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["${each.value.via}.${data.aws_region.current.name}.amazonaws.com"]
    }
  }
}
