//! Between the SDKs and the services: an HTTP client that hands every attempt of every call to a test, which passes it
//! on to the service, answers it itself, or both.

use aws::aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
pub use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
pub use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::Value;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

/// What comes back of one attempt.
pub type Answered = Result<HttpResponse, ConnectorError>;

/// The service behind the wire.
pub type Service = SharedHttpConnector;

/// What stands between.
pub trait Wire: Debug + Send + Sync + 'static {
    /// One attempt of a call.
    fn call(self: Arc<Self>, request: HttpRequest, service: Service) -> impl Future<Output = Answered> + Send;
}

/// The HTTP client whose every attempt goes by `wire`.
pub fn client<W: Wire>(wire: Arc<W>) -> SharedHttpClient {
    SharedHttpClient::new(Client { wire, services: aws_smithy_http_client::Builder::new().build_http() })
}

#[derive(Debug)]
struct Client<W> {
    wire: Arc<W>,
    services: SharedHttpClient,
}

impl<W: Wire> HttpClient for Client<W> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let service = self.services.http_connector(settings, components);
        SharedHttpConnector::new(Connector { wire: Arc::clone(&self.wire), service })
    }
}

#[derive(Debug)]
struct Connector<W> {
    wire: Arc<W>,
    service: Service,
}

impl<W: Wire> HttpConnector for Connector<W> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(Arc::clone(&self.wire).call(request, self.service.clone()))
    }
}

/// The operation that a request of AWS's JSON protocol names; `None` for S3, whose requests name none.
pub fn target(request: &HttpRequest) -> Option<&str> {
    request.headers().get("x-amz-target")?.rsplit('.').next()
}

/// A request's body.
pub fn request_json(request: &HttpRequest) -> Value {
    serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON")
}

/// An answer of AWS's JSON protocol.
pub fn json_answer(status: u16, body: &Value) -> HttpResponse {
    answer(status, "application/x-amz-json-1.0", body.to_string())
}

/// An answer with a body.
pub fn answer(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> HttpResponse {
    let status = status.try_into().expect("a status of HTTP");
    let mut response = HttpResponse::new(status, SdkBody::from(body.into()));
    response.headers_mut().insert("content-type", content_type);
    response
}

/// The answer with its whole body in memory. An answer that breaks off is a connection that breaks off.
#[allow(dead_code, reason = "each test file uses its own part")]
pub async fn collected(mut response: HttpResponse) -> Answered {
    let body = ByteStream::new(response.take_body()).collect().await;
    *response.body_mut() = SdkBody::from(body.map_err(|error| ConnectorError::io(error.into()))?.to_vec());
    Ok(response)
}
