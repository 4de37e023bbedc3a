//! What requests get that no recorded exchange covers.

use crate::support::{Worker, request};

#[tokio::test]
async fn media_types_and_sizes_are_checked() {
    let worker = Worker::start(&[]).await;
    let send = async |method: &str, path: &str, header: (&str, &str), body: Option<&[u8]>| {
        let headers = [(header.0.to_owned(), header.1.to_owned())];
        request(&worker.base(), method, path, &headers, body.map(<[u8]>::to_vec)).await
    };
    let refused = send("GET", "/connectors", ("Accept", "text/html"), None).await;
    assert_eq!((refused.status, refused.json["message"].as_str()), (406, Some("HTTP 406 Not Acceptable")));
    assert_eq!(send("GET", "/connectors", ("Accept", "text/html, */*;q=0.1"), None).await.status, 200);
    let refused = send("POST", "/connectors", ("Content-Type", "text/plain"), Some(b"{}")).await;
    assert_eq!((refused.status, refused.json["message"].as_str()), (415, Some("HTTP 415 Unsupported Media Type")));
    let huge = vec![b' '; 17 * 1024 * 1024];
    let refused = send("PUT", "/connectors/c/config", ("X", "y"), Some(&huge)).await;
    assert_eq!(refused.status, 413);
    worker.stop().await;
}

#[tokio::test]
async fn an_empty_list_of_admin_listeners_turns_loggers_off() {
    let worker = Worker::start(&[("admin.listeners", "")]).await;
    assert_eq!(worker.get("/admin/loggers").await.status, 404);
    assert_eq!(worker.get("/").await.status, 200);
    worker.stop().await;
}
