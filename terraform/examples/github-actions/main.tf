# What the deploy workflow needs in an account: the trust in GitHub's tokens, a bucket for the state, and two roles for each
# environment. One plans, and can read settings but no readings; the other applies, and is let in only where GitHub has
# waited for approval. Applied once, by hand, by someone who may make roles.

provider "aws" {
  region = var.region

  default_tags {
    tags = { Project = "streamgauge" }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  issuer  = "token.actions.githubusercontent.com"
  iam_arn = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}"
  bucket  = "arn:${data.aws_partition.current.partition}:s3:::${var.state_bucket_name}"

  # Each role by GitHub's environment, which is all that its trust depends on.
  trusted = merge(
    { for environment in keys(var.environments) : "${environment}-plan" => environment },
    { for environment in keys(var.environments) : environment => environment },
  )
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "trust" {
  for_each = local.trusted

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = ["${local.iam_arn}:oidc-provider/${local.issuer}"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    # This repository, and a job of this environment: no other repository, no branch or pull request by itself.
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["${var.subject}:environment:${each.key}"]
    }
  }
}

# Planning

resource "aws_iam_role" "plan" {
  for_each = var.environments

  name               = "${each.value}-github-plan"
  assume_role_policy = data.aws_iam_policy_document.trust["${each.key}-plan"].json
  depends_on         = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy_attachment" "read_settings" {
  for_each = aws_iam_role.plan

  role       = each.value.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "plan" {
  for_each = aws_iam_role.plan

  name   = "plan"
  role   = each.value.name
  policy = data.aws_iam_policy_document.plan[each.key].json
}

data "aws_iam_policy_document" "plan" {
  for_each = var.environments

  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject"]
    resources = ["${local.bucket}/streamgauge/${each.key}.tfstate"]
  }

  statement {
    sid       = "KeepPlans"
    actions   = ["s3:PutObject"]
    resources = ["${local.bucket}/streamgauge/plans/${each.key}/*"]
  }

  # They are encrypted by the stack's key, and a plan compares them.
  statement {
    sid       = "ReadTheFunctionsVariables"
    actions   = ["kms:Decrypt"]
    resources = ["arn:${data.aws_partition.current.partition}:kms:${var.region}:${data.aws_caller_identity.current.account_id}:key/*"]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["lambda.${var.region}.amazonaws.com"]
    }
  }

  # ReadOnlyAccess would read data too: what devices posted, and the state of other environments.
  statement {
    sid           = "ReadNoOtherObject"
    effect        = "Deny"
    actions       = ["s3:GetObject", "s3:GetObjectVersion"]
    not_resources = ["${local.bucket}/streamgauge/${each.key}.tfstate"]
  }

  statement {
    sid    = "ReadNoData"
    effect = "Deny"
    actions = [
      "athena:GetQueryResults",
      "athena:GetQueryResultsStream",
      "dynamodb:BatchGetItem",
      "dynamodb:GetItem",
      "dynamodb:GetRecords",
      "dynamodb:Query",
      "dynamodb:Scan",
      "kinesis:GetRecords",
      "kinesis:SubscribeToShard",
      "logs:FilterLogEvents",
      "logs:GetLogEvents",
      "logs:StartQuery",
      "sqs:ReceiveMessage",
    ]
    resources = ["*"]
  }
}

# Applying

resource "aws_iam_role" "apply" {
  for_each = var.environments

  name               = "${each.value}-github-apply"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
  depends_on         = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy_attachment" "make_everything_but_roles" {
  for_each = aws_iam_role.apply

  role       = each.value.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/PowerUserAccess"
}

resource "aws_iam_role_policy" "apply" {
  for_each = aws_iam_role.apply

  name   = "apply"
  role   = each.value.name
  policy = data.aws_iam_policy_document.apply[each.key].json
}

data "aws_iam_policy_document" "apply" {
  for_each = var.environments

  statement {
    sid = "MakeTheStacksRoles"
    actions = [
      "iam:AttachRolePolicy",
      "iam:CreateRole",
      "iam:DeleteRole",
      "iam:DeleteRolePolicy",
      "iam:DetachRolePolicy",
      "iam:GetRole",
      "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies",
      "iam:ListInstanceProfilesForRole",
      "iam:ListRolePolicies",
      "iam:PutRolePolicy",
      "iam:TagRole",
      "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy",
      "iam:UpdateRole",
    ]
    resources = ["${local.iam_arn}:role/${each.value}-*"]
  }

  statement {
    sid = "MakeTheAnalystsPolicy"
    actions = [
      "iam:CreatePolicy",
      "iam:CreatePolicyVersion",
      "iam:DeletePolicy",
      "iam:DeletePolicyVersion",
      "iam:GetPolicy",
      "iam:GetPolicyVersion",
      "iam:ListPolicyVersions",
      "iam:TagPolicy",
      "iam:UntagPolicy",
    ]
    resources = ["${local.iam_arn}:policy/${each.value}-analyst"]
  }

  statement {
    sid       = "HandThemToServices"
    actions   = ["iam:PassRole"]
    resources = ["${local.iam_arn}:role/${each.value}-*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["apigateway.amazonaws.com", "firehose.amazonaws.com", "lambda.amazonaws.com"]
    }
  }

  # Who can change these could let in anybody.
  statement {
    sid       = "LeaveTheWorkflowsRoles"
    effect    = "Deny"
    actions   = ["iam:*"]
    resources = ["${local.iam_arn}:role/*-github-plan", "${local.iam_arn}:role/*-github-apply"]
  }
}
