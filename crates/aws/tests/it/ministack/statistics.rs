use crate::ministack::{config, unique_name};
use aws::DynamoDbStatisticsStore;
use aws::aws_sdk_dynamodb::Client;
use aws::aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};

/// An empty table of the contract's key, by its name.
pub(crate) async fn create_table(client: &Client) -> String {
    let table = unique_name("device-statistics");
    let mut request = client.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
    for (name, key_type) in [("device_id", KeyType::Hash), ("item", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(key_type);
        request = request
            .attribute_definitions(attribute.build().expect("an attribute"))
            .key_schema(key.build().expect("a key"));
    }
    request.send().await.expect("a table");
    loop {
        let answer = client.describe_table().table_name(&table).send().await.expect("the table");
        if answer.table.expect("the table").table_status == Some(TableStatus::Active) {
            return table;
        }
    }
}

async fn make() -> (DynamoDbStatisticsStore, ()) {
    let client = Client::new(&config().await);
    let table = create_table(&client).await;
    (DynamoDbStatisticsStore::new(client, table), ())
}

ports::statistics_store_contract!(make);
