//! Small web servers on loopback, one a thread. They end with the test's process.

use axum::Router;

/// Serves a router on a free port of 127.0.0.1. Returns `127.0.0.1:PORT`.
pub fn on_loopback(router: Router) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("bound").to_string();
    listener.set_nonblocking(true).expect("a plain socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a plain socket");
            axum::serve(listener, router)
                .await
                .expect("it serves until the end");
        });
    });
    address
}

/// Returns a port that was free just now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("bound").port()
}

/// Waits until something listens on a port of 127.0.0.1; the program that should is asked by `is_alive`.
pub fn wait_for(port: u16, mut is_alive: impl FnMut() -> bool) {
    for _ in 0..600 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        assert!(is_alive(), "the server on port {port} ended");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("nothing listens on port {port} after a minute");
}

/// Makes a client as a stranger's program is: it says its name, and follows to other addresses or not.
pub fn client(follows: bool) -> reqwest::blocking::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let policy = if follows {
        reqwest::redirect::Policy::default()
    } else {
        reqwest::redirect::Policy::none()
    };
    let builder = reqwest::blocking::Client::builder()
        .user_agent("stranger")
        .redirect(policy);
    builder.build().expect("a client")
}
