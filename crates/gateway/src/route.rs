//! Every path there is, with its one method.

use hyper::{Method, StatusCode};

/// What a path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /data`: one reading.
    Data,
    /// `POST /data/series`: readings of one device, one record.
    Series,
    /// `POST /data/batch`: readings of any devices, one record each.
    Batch,
    /// `POST /stream/records`: raw bytes into the stream.
    StreamRecord,
    /// `GET /`: one device's statistics.
    Statistics,
    /// `GET /health`.
    Health,
    /// `GET /devices`.
    Devices,
    /// `GET /pipeline`.
    Pipeline,
    /// `GET /fleet`: what the dashboard shows.
    Fleet,
    /// `GET /events`: the same, told as it changes.
    Events,
    /// `GET /dead-letters`.
    DeadLetters,
    /// `POST /dead-letters/delete`: dead letters gone for good.
    DeleteDeadLetters,
    /// `GET /dead-letters/letter`: one letter, with what is wrong marked.
    ShowDeadLetter,
    /// `GET /dead-letters/summary`.
    SummariseDeadLetters,
    /// `POST /dead-letters/preview`: what redriving would do to each dead letter.
    PreviewDeadLetters,
    /// `POST /dead-letters/redrive`: dead letters back into the stream.
    RedriveDeadLetters,
    /// `POST /backup`: a copy of the whole pipeline.
    Backup,
    /// `GET /recent`.
    Recent,
    /// `GET /history`: one device's states, as curated files have them.
    History,
    /// `GET /dashboard`.
    Dashboard,
    /// `GET /dashboard/dead-letters`.
    DeadLetterPage,
    /// `GET /dashboard/{file}`: the pages' scripts and stylesheet.
    DashboardFile,
    /// `POST /dashboard/login`.
    Login,
    /// `GET /openapi.yaml`.
    Document,
}

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone.
    Open,
    /// Anyone whose `Host` names this server: what a browser loads before it has a session.
    Page,
    /// The key, or the dashboard's session.
    Read,
    /// The key alone.
    Key,
    /// The key, and only from this machine itself.
    LocalKey,
}

/// One path, its method, and every status it can answer.
#[derive(Debug)]
pub struct Route {
    /// The exact path, or `/dashboard/{file}`.
    pub path: &'static str,
    /// `GET` (which answers `HEAD` too) or `POST`.
    pub method: Method,
    /// What it does.
    pub endpoint: Endpoint,
    /// Every status that it can answer, in ascending order; the OpenAPI document names the same.
    pub statuses: &'static [u16],
    pub(crate) access: Access,
}

const INGEST: &[u16] = &[200, 400, 403, 408, 413, 415, 429, 503];
const READ: &[u16] = &[200, 400, 403, 503];
const CHANGE: &[u16] = &[200, 400, 403, 408, 413, 415, 503];
const PAGE: &[u16] = &[200, 421];

const fn get(path: &'static str, endpoint: Endpoint, access: Access, statuses: &'static [u16]) -> Route {
    Route { path, method: Method::GET, endpoint, statuses, access }
}

const fn post(path: &'static str, endpoint: Endpoint, access: Access, statuses: &'static [u16]) -> Route {
    Route { path, method: Method::POST, endpoint, statuses, access }
}

/// The pages' files: the one path with a variable part, which is a file's name.
const FILES: &str = "/dashboard/{file}";

/// Every path there is; any other is 404, and any other method on one of them 405.
pub static ROUTES: [Route; 24] = [
    post("/data", Endpoint::Data, Access::Key, INGEST),
    post("/data/series", Endpoint::Series, Access::Key, INGEST),
    post("/data/batch", Endpoint::Batch, Access::Key, &[200, 207, 400, 403, 408, 413, 415, 429, 503]),
    post("/stream/records", Endpoint::StreamRecord, Access::Key, INGEST),
    get("/", Endpoint::Statistics, Access::Read, &[200, 400, 403, 404, 503]),
    get("/health", Endpoint::Health, Access::Open, &[200]),
    get("/devices", Endpoint::Devices, Access::Read, READ),
    get("/pipeline", Endpoint::Pipeline, Access::Read, READ),
    get("/fleet", Endpoint::Fleet, Access::Read, READ),
    get("/events", Endpoint::Events, Access::Read, READ),
    get("/dead-letters", Endpoint::DeadLetters, Access::Read, READ),
    post("/dead-letters/redrive", Endpoint::RedriveDeadLetters, Access::Key, CHANGE),
    post("/dead-letters/delete", Endpoint::DeleteDeadLetters, Access::Key, CHANGE),
    get("/dead-letters/letter", Endpoint::ShowDeadLetter, Access::Read, &[200, 400, 403, 404, 503]),
    get("/dead-letters/summary", Endpoint::SummariseDeadLetters, Access::Read, READ),
    post("/dead-letters/preview", Endpoint::PreviewDeadLetters, Access::Read, CHANGE),
    post("/backup", Endpoint::Backup, Access::LocalKey, &[200, 400, 403, 408, 409, 413, 415, 503]),
    get("/recent", Endpoint::Recent, Access::Read, &[200, 400, 403, 404, 503]),
    get("/history", Endpoint::History, Access::Read, &[200, 400, 403, 404, 503]),
    get("/dashboard", Endpoint::Dashboard, Access::Page, PAGE),
    get("/dashboard/dead-letters", Endpoint::DeadLetterPage, Access::Page, PAGE),
    get(FILES, Endpoint::DashboardFile, Access::Page, &[200, 404, 421]),
    post("/dashboard/login", Endpoint::Login, Access::Page, &[303, 400, 403, 408, 413, 415, 421, 429]),
    get("/openapi.yaml", Endpoint::Document, Access::Open, &[200]),
];

impl Route {
    /// The value of `Allow` for this path.
    pub(crate) fn allow(&self) -> &'static str {
        if self.method == Method::GET { "GET, HEAD" } else { "POST" }
    }

    /// Whether the path has this method.
    pub(crate) fn has(&self, method: &Method) -> bool {
        *method == self.method || (*method == Method::HEAD && self.method == Method::GET)
    }

    /// Whether the table says that this route can answer `status`.
    pub(crate) fn declares(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status.as_u16())
    }
}

/// The route of a path.
pub(crate) fn find(path: &str) -> Option<&'static Route> {
    let exactly = |path: &str| ROUTES.iter().find(|route| route.path == path);
    let is_file = || path.strip_prefix("/dashboard/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
    exactly(path).or_else(|| is_file().then(|| exactly(FILES)).flatten())
}
