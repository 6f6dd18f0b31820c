# Who is let in, and what for, by the real provider without an account.

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
  values = { account_id = "111111111111" }
}

variables {
  region            = "eu-central-1"
  subject           = "repo:octocat@1/streamgauge@2"
  state_bucket_name = "states"
  environments      = { development = "streamgauge-dev", production = "streamgauge" }
}

run "each_role_lets_in_one_environment_of_one_repository" {
  command = plan

  assert {
    condition = alltrue([
      for environment in ["development", "production"] : alltrue([
        for trust in [
          { name = "${environment}-plan", policy = aws_iam_role.plan[environment].assume_role_policy },
          { name = environment, policy = aws_iam_role.apply[environment].assume_role_policy },
        ] :
        jsondecode(trust.policy).Statement == [{
          Action    = "sts:AssumeRoleWithWebIdentity"
          Effect    = "Allow"
          Principal = { Federated = "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com" }
          Condition = { StringEquals = {
            "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
            "token.actions.githubusercontent.com:sub" = "repo:octocat@1/streamgauge@2:environment:${trust.name}"
          } }
        }]
      ])
    ])
    error_message = "a role must be trusted to one environment of one repository alone"
  }

  assert {
    condition     = aws_iam_openid_connect_provider.github.url == "https://token.actions.githubusercontent.com" && aws_iam_openid_connect_provider.github.client_id_list == toset(["sts.amazonaws.com"])
    error_message = "only GitHub's tokens for AWS are trusted"
  }
}

run "a_subject_names_one_repository" {
  command = plan

  variables {
    subject = "repo:octocat/*"
  }

  expect_failures = [var.subject]
}

run "planning_reads_no_data_and_writes_plans_alone" {
  command = plan

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.plan["production"].policy).Statement : statement if statement.Effect == "Allow"] == [
      { Sid = "ReadState", Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::states/streamgauge/production.tfstate" },
      { Sid = "KeepPlans", Effect = "Allow", Action = "s3:PutObject", Resource = "arn:aws:s3:::states/streamgauge/plans/production/*" },
      {
        Sid       = "ReadTheFunctionsVariables", Effect = "Allow", Action = "kms:Decrypt", Resource = "arn:aws:kms:eu-central-1:111111111111:key/*"
        Condition = { StringEquals = { "kms:ViaService" = "lambda.eu-central-1.amazonaws.com" } }
      },
    ]
    error_message = "planning may read its state and the function's variables, and keep plans, no more"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.plan["production"].policy).Statement :
      statement.Effect == "Deny" && contains(flatten([statement.Action]), "s3:GetObject") && try(statement.NotResource, "") == "arn:aws:s3:::states/streamgauge/production.tfstate"
    ])
    error_message = "planning may read no object but its state"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.plan["production"].policy).Statement :
      statement.Effect == "Deny" && try(statement.Resource, "") == "*" &&
      length(setsubtract(["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "athena:GetQueryResults", "athena:GetQueryResultsStream", "kinesis:GetRecords", "logs:GetLogEvents", "sqs:ReceiveMessage"], flatten([statement.Action]))) == 0
    ])
    error_message = "planning may read no data"
  }

  assert {
    condition     = aws_iam_role_policy_attachment.read_settings["production"].policy_arn == "arn:aws:iam::aws:policy/ReadOnlyAccess"
    error_message = "planning reads, and changes nothing"
  }
}

run "applying_makes_the_stacks_roles_and_no_others" {
  command = plan

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.apply["development"].policy).Statement :
      statement.Effect == "Deny" || contains(["arn:aws:iam::111111111111:role/streamgauge-dev-*", "arn:aws:iam::111111111111:policy/streamgauge-dev-analyst"], statement.Resource)
    ])
    error_message = "applying may touch the stack's own roles and the analysts' policy alone"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.apply["development"].policy).Statement :
      statement.Effect == "Deny" && statement.Action == "iam:*" &&
      toset(flatten([statement.Resource])) == toset(["arn:aws:iam::111111111111:role/*-github-plan", "arn:aws:iam::111111111111:role/*-github-apply"])
    ])
    error_message = "applying may not change who is let in"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.apply["development"].policy).Statement :
      try(statement.Action, "") == "iam:PassRole" && try(toset(statement.Condition.StringEquals["iam:PassedToService"]) == toset(["apigateway.amazonaws.com", "firehose.amazonaws.com", "lambda.amazonaws.com"]), false)
    ])
    error_message = "roles are handed to the stack's services alone"
  }

  assert {
    condition     = aws_iam_role_policy_attachment.make_everything_but_roles["development"].policy_arn == "arn:aws:iam::aws:policy/PowerUserAccess"
    error_message = "applying has no rights over IAM but those above"
  }
}

run "the_state_is_protected" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "the state has versions"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state.block_public_acls,
      aws_s3_bucket_public_access_block.state.block_public_policy,
      aws_s3_bucket_public_access_block.state.ignore_public_acls,
      aws_s3_bucket_public_access_block.state.restrict_public_buckets,
    ])
    error_message = "the state is never public"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "the state is encrypted by KMS"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement :
      statement.Effect == "Deny" && statement.Action == "s3:*" && statement.Principal == "*" && statement.Condition == { Bool = { "aws:SecureTransport" = "false" } } &&
      toset(flatten([statement.Resource])) == toset(["arn:aws:s3:::states", "arn:aws:s3:::states/*"])
    ])
    error_message = "the state is reached by TLS alone"
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.state.rule : one(rule.expiration).days if rule.id == "plans" && one(rule.filter).prefix == "streamgauge/plans/"] == [30]
    error_message = "plans that are not applied go after 30 days"
  }
}
