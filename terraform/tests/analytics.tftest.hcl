# Tables, views, workgroup and permissions, by the real provider without an account.

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

variables {
  name              = "test"
  database_name     = "test"
  sql_path          = "../dashboards/athena"
  bucket_name       = "archive"
  kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/test"
  reader_role_names = ["aws-quicksight-service-role-v0"]
}

run "tables" {
  command = plan

  module {
    source = "./modules/analytics"
  }

  assert {
    condition = {
      for name, table in aws_glue_catalog_table.data : name => [table.storage_descriptor[0].location, table.parameters["storage.location.template"]]
      } == {
      raw               = ["s3://archive/raw/", "s3://archive/raw/dt=$${dt}/hour=$${hour}/"]
      device_statistics = ["s3://archive/curated/device_statistics/", "s3://archive/curated/device_statistics/dt=$${dt}/"]
      dead_letters      = ["s3://archive/dead-letters/", "s3://archive/dead-letters/dt=$${dt}/"]
    }
    error_message = "Every table must lie where the contract says."
  }

  assert {
    condition = alltrue([
      for table in aws_glue_catalog_table.data : table.parameters["projection.enabled"] == "true"
      && table.parameters["projection.dt.type"] == "date" && table.parameters["projection.dt.format"] == "yyyy-MM-dd"
      && table.parameters["projection.dt.range"] == "2026-01-01,NOW" && table.parameters["projection.dt.interval"] == "1"
      && table.parameters["projection.dt.interval.unit"] == "DAYS"
    ])
    error_message = "Days must be projected."
  }

  assert {
    condition = {
      for name, value in aws_glue_catalog_table.data["raw"].parameters : name => value if startswith(name, "projection.hour")
    } == { "projection.hour.type" = "integer", "projection.hour.range" = "0,23", "projection.hour.digits" = "2" }
    error_message = "Hours must be projected, with two digits."
  }

  assert {
    condition = {
      for name, table in aws_glue_catalog_table.data : name => [for key in table.partition_keys : "${key.name} ${key.type}"]
    } == { raw = ["dt string", "hour string"], device_statistics = ["dt string"], dead_letters = ["dt string"] }
    error_message = "Partitions must be the folders' names."
  }

  # The contract with the curator, column by column.
  assert {
    condition = [for column in aws_glue_catalog_table.data["device_statistics"].storage_descriptor[0].columns : "${column.name} ${column.type}"] == [
      "device_id string", "revision bigint", "count bigint", "mean double", "median double", "standard_deviation double",
      "minimum double", "maximum double", "mean_confidence_95_low double", "mean_confidence_95_high double",
      "anomaly_count bigint", "first_timestamp timestamp", "last_timestamp timestamp", "updated_at timestamp",
    ]
    error_message = "The curated table must have the rows' columns."
  }

  assert {
    condition = (
      [for column in aws_glue_catalog_table.data["raw"].storage_descriptor[0].columns : "${column.name} ${column.type}"] == ["line string"]
      && aws_glue_catalog_table.data["raw"].storage_descriptor[0].ser_de_info[0].parameters["field.delim"] == "\u0001"
    )
    error_message = "A body must be one column, whole."
  }

  assert {
    condition = {
      for name, table in aws_glue_catalog_table.data : name => reverse(split(".", table.storage_descriptor[0].ser_de_info[0].serialization_library))[0]
    } == { raw = "LazySimpleSerDe", device_statistics = "ParquetHiveSerDe", dead_letters = "JsonSerDe" }
    error_message = "Every table must be read by what its files are."
  }
}

run "views_and_queries" {
  command = plan

  module {
    source = "./modules/analytics"
  }

  assert {
    condition = alltrue([
      for view in aws_glue_catalog_table.view :
      view.table_type == "VIRTUAL_VIEW" && view.view_expanded_text == "/* Presto View */" && view.parameters == tomap({ presto_view = "true", comment = "Presto View" })
    ])
    error_message = "Views must be marked as Athena marks its own."
  }

  assert {
    condition = alltrue([
      for name, view in aws_glue_catalog_table.view : jsondecode(base64decode(trimsuffix(trimprefix(view.view_original_text, "/* Presto View: "), " */"))) == {
        originalSql = file("../dashboards/athena/views/${name}.sql")
        catalog     = "awsdatacatalog"
        schema      = "test"
        columns = [
          for column in view.storage_descriptor[0].columns :
          { name = column.name, type = { string = "varchar", int = "integer", bigint = "bigint", double = "double", boolean = "boolean", timestamp = "timestamp(3)" }[column.type] }
        ]
      }
    ])
    error_message = "Views must hold their SQL, and their columns' types in Athena's names."
  }

  assert {
    condition     = toset(keys(aws_glue_catalog_table.view)) == toset([for file in fileset("../dashboards/athena/views", "*.sql") : trimsuffix(file, ".sql")])
    error_message = "Every file of dashboards/athena/views must be a view."
  }

  assert {
    condition     = { for name, query in aws_athena_named_query.this : "${name}.sql" => query.query } == { for file in fileset("../dashboards/athena/queries", "*.sql") : file => file("../dashboards/athena/queries/${file}") }
    error_message = "Every file of dashboards/athena/queries must be a named query, as it is."
  }

  assert {
    condition     = alltrue([for query in aws_athena_named_query.this : query.workgroup == "test" && query.database == "test" && strcontains(query.description, "?")])
    error_message = "Every named query must say its question, and be asked in the workgroup."
  }
}

run "workgroup" {
  command = plan

  module {
    source = "./modules/analytics"
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].enforce_workgroup_configuration
    error_message = "Nobody's own settings may take the place of the workgroup's."
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 107374182400
    error_message = "A question that reads more than 100 GiB must be stopped."
  }

  assert {
    condition = one(aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration) == {
      encryption_option = "SSE_KMS"
      kms_key_arn       = var.kms_key_arn
    }
    error_message = "Answers must be encrypted with the stack's key."
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].result_configuration[0].expected_bucket_owner == "123456789012"
    error_message = "Answers may go to this account's bucket alone."
  }

  assert {
    condition     = aws_s3_bucket.results.bucket == "test-athena-results-123456789012"
    error_message = "Answers must lie in a bucket of their own."
  }

  assert {
    condition = (
      aws_s3_bucket_public_access_block.results.block_public_acls && aws_s3_bucket_public_access_block.results.block_public_policy
      && aws_s3_bucket_public_access_block.results.ignore_public_acls && aws_s3_bucket_public_access_block.results.restrict_public_buckets
    )
    error_message = "Answers must not be public."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.results.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "Answers must be the bucket owner's."
  }

  assert {
    condition = (
      one(one(aws_s3_bucket_server_side_encryption_configuration.results.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
      && one(one(aws_s3_bucket_server_side_encryption_configuration.results.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn
    )
    error_message = "The answers' bucket must encrypt with the stack's key."
  }

  assert {
    condition     = one(one(aws_s3_bucket_lifecycle_configuration.results.rule).expiration).days == 30
    error_message = "Answers must go after 30 days."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.results.json).Statement : "${statement.Effect} ${statement.Action} ${statement.Condition.Bool["aws:SecureTransport"]}"
    ]) == "Deny s3:* false"
    error_message = "Answers must be read by TLS alone."
  }
}

run "settings_are_variables" {
  command = plan

  module {
    source = "./modules/analytics"
  }

  variables {
    first_day              = "2030-02-03"
    bytes_scanned_max      = 10485760
    results_retention_days = 3
    results_bucket_name    = "answers"
    force_destroy          = true
  }

  assert {
    condition = (
      aws_glue_catalog_table.data["raw"].parameters["projection.dt.range"] == "2030-02-03,NOW"
      && aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 10485760
      && one(one(aws_s3_bucket_lifecycle_configuration.results.rule).expiration).days == 3
      && aws_s3_bucket.results.bucket == "answers" && aws_s3_bucket.results.force_destroy && aws_athena_workgroup.this.force_destroy
    )
    error_message = "Every setting must be taken."
  }
}

run "permissions" {
  command = plan

  module {
    source = "./modules/analytics"
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.analyst.json).Statement : statement.Sid => toset(flatten([statement.Resource]))
      } == {
      Ask           = toset(["arn:aws:athena:eu-central-1:123456789012:workgroup/test"])
      SeeCatalog    = toset(["arn:aws:athena:eu-central-1:123456789012:datacatalog/AwsDataCatalog"])
      ReadSchema    = toset(["arn:aws:glue:eu-central-1:123456789012:catalog", "arn:aws:glue:eu-central-1:123456789012:database/test", "arn:aws:glue:eu-central-1:123456789012:table/test/*"])
      FindData      = toset(["arn:aws:s3:::archive"])
      ReadData      = toset(["arn:aws:s3:::archive/raw/*", "arn:aws:s3:::archive/curated/device_statistics/*", "arn:aws:s3:::archive/dead-letters/*"])
      FindAnswers   = toset(["arn:aws:s3:::test-athena-results-123456789012"])
      KeepAnswers   = toset(["arn:aws:s3:::test-athena-results-123456789012/results/*"])
      UseDataKey    = toset([var.kms_key_arn])
      UseAnswersKey = toset([var.kms_key_arn])
    }
    error_message = "Analysts may use these things and nothing else."
  }

  # Nothing that changes data: what is written is answers alone.
  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.analyst.json).Statement :
      statement.Sid => toset(flatten([statement.Action])) if !contains(["Ask", "SeeCatalog"], statement.Sid)
      } == {
      ReadSchema    = toset(["glue:GetDatabase", "glue:GetDatabases", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"])
      FindData      = toset(["s3:GetBucketLocation", "s3:ListBucket"])
      ReadData      = toset(["s3:GetObject"])
      FindAnswers   = toset(["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"])
      KeepAnswers   = toset(["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"])
      UseDataKey    = toset(["kms:Decrypt"])
      UseAnswersKey = toset(["kms:Decrypt", "kms:GenerateDataKey"])
    }
    error_message = "Analysts may read data, and write answers alone."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.analyst.json).Statement :
      alltrue([for action in flatten([statement.Action]) : can(regex("^athena:(BatchGet|Get|List|StartQueryExecution$|StopQueryExecution$)", action))]) if contains(["Ask", "SeeCatalog"], statement.Sid)
    ])
    error_message = "Analysts may ask, and change nothing of the workgroup."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.analyst.json).Statement : statement.Sid => statement.Condition.StringEquals if can(statement.Condition)
      } == {
      FindData      = { "s3:ResourceAccount" = "123456789012" }
      ReadData      = { "s3:ResourceAccount" = "123456789012" }
      KeepAnswers   = { "s3:ResourceAccount" = "123456789012" }
      UseDataKey    = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
      UseAnswersKey = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
    }
    error_message = "Buckets must be the expected accounts', and keys used through S3 alone."
  }

  assert {
    condition     = keys(aws_iam_role_policy.reader) == ["aws-quicksight-service-role-v0"] && jsondecode(aws_iam_role_policy.reader["aws-quicksight-service-role-v0"].policy) == jsondecode(aws_iam_policy.analyst.policy)
    error_message = "Roles that are named must get the policy."
  }
}

run "an_archive_in_another_account" {
  command = plan

  module {
    source = "./modules/analytics"
  }

  variables {
    bucket_account_id  = "222222222222"
    bucket_kms_key_arn = "arn:aws:kms:eu-central-1:222222222222:key/bucket"
    reader_role_names  = []
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.analyst.json).Statement : statement.Sid => statement.Resource if startswith(statement.Sid, "Use")
    } == { UseDataKey = var.bucket_kms_key_arn, UseAnswersKey = var.kms_key_arn }
    error_message = "Data must be read with the bucket's key, and answers kept with this account's."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.analyst.json).Statement :
      statement.Sid => statement.Condition.StringEquals["s3:ResourceAccount"] if can(statement.Condition.StringEquals["s3:ResourceAccount"])
    } == { FindData = "222222222222", ReadData = "222222222222", KeepAnswers = "123456789012" }
    error_message = "Data must be the other account's, and answers this one's."
  }

  assert {
    condition     = length(aws_iam_role_policy.reader) == 0
    error_message = "Nobody may get the policy unasked."
  }
}
