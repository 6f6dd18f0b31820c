variable "name" {
  description = "The start of every name and id."
  type        = string
}

variable "definition_path" {
  description = "The folder with dashboard.json."
  type        = string
}

variable "sql_path" {
  description = "The folder with schema.json, which has the views' columns."
  type        = string
}

variable "workgroup_name" {
  description = "The Athena workgroup in which QuickSight asks."
  type        = string
}

variable "database_name" {
  description = "The Glue database of the views."
  type        = string
}

variable "views" {
  description = "The views, by name, once they are there."
  type        = map(string)
}

variable "author_arns" {
  description = "QuickSight users or groups who build on the analysis, by ARN."
  type        = set(string)

  validation {
    condition     = length(var.author_arns) > 0
    error_message = "author_arns must name somebody: what nobody may see in QuickSight cannot be found there either."
  }
}

variable "viewer_arns" {
  description = "QuickSight users or groups who look at the dashboard, by ARN."
  type        = set(string)
  default     = []
}

variable "import_mode" {
  description = "SPICE, QuickSight's own memory, refreshed by schedule; or DIRECT_QUERY, which asks Athena at every look."
  type        = string
  default     = "SPICE"

  validation {
    condition     = contains(["SPICE", "DIRECT_QUERY"], var.import_mode)
    error_message = "import_mode must be SPICE or DIRECT_QUERY."
  }
}
