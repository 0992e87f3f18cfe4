//! A network between the service and Postgres that can fail: refuse, swallow, cut, lose the answer
//! to a COMMIT. What was swallowed once stays so: both ends keep their half of a dead connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mandate::app::App;
use mandate::base::SeededEntropy;
use mandate::db::{Db, RoleUrls};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, watch};
use tokio_util::task::TaskTracker;
use url::Url;

use super::harness::Harness;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It works.
    Forward,
    /// Nobody listens; what was open is cut.
    Refuse,
    /// Connections are taken and nothing comes through, ever; what was open falls silent too.
    Swallow,
    /// What was open falls silent; new connections work.
    SwallowOld,
}

/// What happens to the next COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// The connection breaks before the server sees it.
    BeforeServer,
    /// The server carries it out, and the connection breaks before its answer comes back.
    AfterServer,
    /// The same, and then the network refuses.
    AfterServerThenRefuse,
}

struct Network {
    mode: watch::Sender<Mode>,
    trap: Mutex<Option<Trap>>,
    /// Microseconds before an answer is passed on.
    delay: AtomicU64,
    /// How often a BEGIN was sent on a connection that stood inside a transaction already.
    nested: AtomicU64,
    server: Server,
}

enum Server {
    Socket(PathBuf),
    Address(String),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The proxy; its connections end with it.
pub struct Proxy {
    network: Arc<Network>,
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.network.mode.send_replace(Mode::Refuse);
    }
}

impl Proxy {
    /// A proxy before the server that these logins reach.
    pub async fn before(urls: &RoleUrls) -> Self {
        let url = Url::parse(urls.urls[0].expose_secret()).unwrap();
        let named = |name: &str| url.query_pairs().filter(|(key, _)| key == name).last().map(|(_, value)| value.into_owned());
        let port = named("port").unwrap_or_else(|| url.port().unwrap_or(5432).to_string());
        let server = match named("host").filter(|host| host.starts_with('/')) {
            Some(folder) => Server::Socket(PathBuf::from(folder).join(format!(".s.PGSQL.{port}"))),
            None => Server::Address(format!("{}:{port}", named("host").unwrap_or_else(|| url.host_str().unwrap().to_owned()))),
        };
        let network = Arc::new(Network {
            mode: watch::Sender::new(Mode::Forward),
            trap: Mutex::default(),
            delay: AtomicU64::default(),
            nested: AtomicU64::default(),
            server,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(accept(Arc::clone(&network), listener, port));
        Self { network, port, task }
    }

    pub fn set(&self, mode: Mode) {
        self.network.mode.send_replace(mode);
    }
    pub async fn arm(&self, trap: Trap) {
        *self.network.trap.lock().await = Some(trap);
    }
    /// True once the trap has closed.
    pub async fn is_sprung(&self) -> bool {
        self.network.trap.lock().await.is_none()
    }
    pub fn delay(&self, delay: Duration) {
        self.network.delay.store(u64::try_from(delay.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// How often a connection was used inside somebody else's transaction.
    pub fn nested(&self) -> u64 {
        self.network.nested.load(Ordering::Relaxed)
    }

    /// The same logins, through the proxy.
    pub fn urls(&self, urls: &RoleUrls) -> RoleUrls {
        let through = |url: &SecretString| {
            let old = Url::parse(url.expose_secret()).unwrap();
            let named = |name: &str| old.query_pairs().filter(|(key, _)| key == name).last().map(|(_, value)| value.into_owned());
            let user = named("user").unwrap_or_else(|| old.username().to_owned());
            let password = named("password").or_else(|| old.password().map(str::to_owned)).unwrap_or_default();
            let mut new = Url::parse(&format!("postgres://127.0.0.1:{}{}?sslmode=disable", self.port, old.path())).unwrap();
            new.query_pairs_mut().append_pair("user", &user);
            if !password.is_empty() {
                new.query_pairs_mut().append_pair("password", &password);
            }
            SecretString::from(String::from(new))
        };
        RoleUrls { urls: urls.urls.each_ref().map(through) }
    }
}

async fn accept(network: Arc<Network>, listener: TcpListener, port: u16) {
    let mut listener = Some(listener);
    let mut mode = network.mode.subscribe();
    loop {
        let now = *mode.borrow_and_update();
        match (&listener, now == Mode::Refuse) {
            (Some(_), true) => listener = None,
            (None, false) => listener = TcpListener::bind(("127.0.0.1", port)).await.ok(),
            _ => {}
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return },
            accepted = accepted => if let Some((client, _)) = accepted {
                tokio::spawn(relay(Arc::clone(&network), client));
            },
        }
    }
}

/// Waits until a connection in this mode is to end: refused, or the proxy gone.
async fn until_cut(mut mode: watch::Receiver<Mode>) {
    mode.wait_for(|mode| *mode == Mode::Refuse).await.ok();
}

async fn relay(network: Arc<Network>, mut client: TcpStream) {
    let mut mode = network.mode.subscribe();
    let began = *mode.borrow_and_update();
    if began == Mode::Swallow {
        return until_cut(mode).await;
    }
    let mut server: Box<dyn Stream> = match &network.server {
        Server::Socket(path) => Box::new(UnixStream::connect(path).await.unwrap()),
        Server::Address(address) => Box::new(TcpStream::connect(address).await.unwrap()),
    };
    client.set_nodelay(true).unwrap();
    let (mut asked, mut told, mut lose_answer, mut is_inside) = (vec![0; 65_536], vec![0; 65_536], None, false);
    loop {
        tokio::select! {
            biased;
            changed = mode.changed() => {
                let now = *mode.borrow_and_update();
                match now {
                    _ if changed.is_err() => return,
                    Mode::Refuse => return,
                    // Neither end is told; what the client closes is not passed on either.
                    Mode::Swallow | Mode::SwallowOld => return until_cut(mode).await,
                    Mode::Forward => {}
                }
            }
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let says = |statement: &[u8]| asked[..count].windows(statement.len()).any(|bytes| bytes == statement);
                if is_inside && says(b"BEGIN\0") {
                    network.nested.fetch_add(1, Ordering::Relaxed);
                }
                let is_commit = says(b"COMMIT\0");
                let trap = if is_commit { network.trap.lock().await.take() } else { None };
                if trap == Some(Trap::BeforeServer) {
                    return;
                }
                lose_answer = trap;
                if server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut told) => {
                let Ok(count @ 1..) = read else { return };
                // ReadyForQuery, the end of every answer: I outside a transaction, T or E inside one.
                if let [.., b'Z', 0, 0, 0, 5, status] = told[..count] {
                    is_inside = status != b'I';
                }
                if let Some(trap) = lose_answer {
                    if trap == Trap::AfterServerThenRefuse {
                        network.mode.send_replace(Mode::Refuse);
                    }
                    return;
                }
                let delay = network.delay.load(Ordering::Relaxed);
                if delay > 0 {
                    tokio::time::sleep(Duration::from_micros(delay)).await;
                }
                if client.write_all(&told[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Harness {
    /// Another process' program on this test's database: pools and ids of its own.
    pub fn another(&self, urls: &RoleUrls, connections: u32) -> App {
        let entropy = Arc::new(SeededEntropy::new(u64::from(connections) + 0x5eed));
        self.with_db(Db::new(urls, connections, self.clock.clone(), entropy).unwrap())
    }

    /// The program on another database handle, with a tracker of its own.
    pub fn with_db(&self, db: Db) -> App {
        App { db, tracker: TaskTracker::new(), ..self.app.clone() }
    }
}
