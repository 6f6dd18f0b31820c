# What analysts ask: the archive's and the curated data's tables, views over them, and a workgroup to ask in. Partitions are
# projected: a day is there as soon as its first object is, without a crawler.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  schema     = jsondecode(file("${var.sql_path}/schema.json"))

  # From names rather than attributes, so that a plan shows the policies whole before anything is there.
  bucket_arn         = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket_name}"
  bucket_account_id  = coalesce(var.bucket_account_id, local.account_id)
  bucket_kms_key_arn = coalesce(var.bucket_kms_key_arn, var.kms_key_arn)

  day = {
    "projection.dt.type"          = "date"
    "projection.dt.format"        = "yyyy-MM-dd"
    "projection.dt.range"         = "${var.first_day},NOW"
    "projection.dt.interval"      = "1"
    "projection.dt.interval.unit" = "DAYS"
  }
  hour = {
    "projection.hour.type"   = "integer"
    "projection.hour.range"  = "0,23"
    "projection.hour.digits" = "2"
  }

  text_input  = "org.apache.hadoop.mapred.TextInputFormat"
  text_output = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

  # How each table's files are read; its columns stand in schema.json.
  tables = {
    # A line is one column, whole, rather than parsed by a SerDe: what is no JSON stays to be seen, and a number posted as a
    # string is not taken for one. Ctrl-A, which would end the column, cannot stand in JSON.
    raw = {
      prefix     = "raw"
      partitions = "dt=$${dt}/hour=$${hour}"
      projection = merge(local.day, local.hour)
      format     = { classification = "csv", input = local.text_input, output = local.text_output }
      serde      = { library = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", parameters = { "field.delim" = "\u0001" } }
    }
    device_statistics = {
      prefix     = "curated/device_statistics"
      partitions = "dt=$${dt}"
      projection = local.day
      format = {
        classification = "parquet"
        input          = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
        output         = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
      }
      serde = { library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe", parameters = { "serialization.format" = "1" } }
    }
    dead_letters = {
      prefix     = "dead-letters"
      partitions = "dt=$${dt}"
      projection = local.day
      format     = { classification = "json", input = local.text_input, output = local.text_output }
      serde      = { library = "org.openx.data.jsonserde.JsonSerDe", parameters = { "ignore.malformed.json" = "true" } }
    }
  }
}

resource "aws_glue_catalog_database" "this" {
  name        = var.database_name
  description = "Readings, statistics and dead letters of ${var.name}"
}

resource "aws_glue_catalog_table" "data" {
  for_each = local.tables

  name          = each.key
  database_name = aws_glue_catalog_database.this.name
  description   = local.schema.tables[each.key].description
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(each.value.projection, {
    EXTERNAL                    = "TRUE"
    classification              = each.value.format.classification
    "projection.enabled"        = "true"
    "storage.location.template" = "s3://${var.bucket_name}/${each.value.prefix}/${each.value.partitions}/"
  })

  dynamic "partition_keys" {
    for_each = local.schema.tables[each.key].partitions

    content {
      name = partition_keys.value[0]
      type = partition_keys.value[1]
    }
  }

  storage_descriptor {
    location      = "s3://${var.bucket_name}/${each.value.prefix}/"
    input_format  = each.value.format.input
    output_format = each.value.format.output

    ser_de_info {
      serialization_library = each.value.serde.library
      parameters            = each.value.serde.parameters
    }

    dynamic "columns" {
      for_each = local.schema.tables[each.key].columns

      content {
        name = columns.value[0]
        type = columns.value[1]
      }
    }
  }
}

# Views as Athena itself keeps them: a table whose text holds the SQL and the columns' types in Athena's own names.
resource "aws_glue_catalog_table" "view" {
  for_each = local.schema.views

  name               = each.key
  database_name      = aws_glue_catalog_database.this.name
  description        = each.value.description
  table_type         = "VIRTUAL_VIEW"
  parameters         = { presto_view = "true", comment = "Presto View" }
  view_expanded_text = "/* Presto View */"

  view_original_text = format("/* Presto View: %s */", base64encode(jsonencode({
    originalSql = file("${var.sql_path}/views/${each.key}.sql")
    catalog     = "awsdatacatalog"
    schema      = var.database_name
    columns     = [for column in each.value.columns : { name = column[0], type = local.athena_types[column[1]] }]
  })))

  storage_descriptor {
    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value[0]
        type = columns.value[1]
      }
    }
  }
}

locals {
  # A view whose columns say another type than its SQL has is stale, and not read.
  athena_types = {
    string    = "varchar"
    int       = "integer"
    bigint    = "bigint"
    double    = "double"
    boolean   = "boolean"
    timestamp = "timestamp(3)"
  }

  # What stands before a query says which question it answers.
  queries = { for file in fileset("${var.sql_path}/queries", "*.sql") : trimsuffix(file, ".sql") => file("${var.sql_path}/queries/${file}") }
}

resource "aws_athena_named_query" "this" {
  for_each = local.queries

  name        = each.key
  description = trimprefix(split("\n", each.value)[0], "-- ")
  database    = aws_glue_catalog_database.this.name
  workgroup   = aws_athena_workgroup.this.name
  query       = each.value
}
