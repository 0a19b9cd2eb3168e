//! The limiter's thread: it listens, or keeps the port without listening.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc as blocking};
use std::thread::{self, JoinHandle};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot};

use super::serve::Service;
use crate::port::free_port;

/// What the thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Listen,
    StopListening,
    Shutdown,
}

/// The handle of the thread; dropping it ends the thread and all that it serves.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) port: u16,
    commands: mpsc::UnboundedSender<(Command, oneshot::Sender<()>)>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts the thread, which listens when this returns.
    pub(super) fn open(service: Service) -> Listener {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (report, port) = blocking::channel();
        let thread = thread::Builder::new()
            .name("limiter".to_owned())
            .spawn(move || run(Arc::new(service), receiver, &report))
            .expect("a thread can be started");
        let port = port.recv().expect("the limiter finds a port");
        Listener {
            port,
            commands,
            thread: Some(thread),
        }
    }

    /// Sends a command and waits until it is carried out.
    pub(super) async fn send(&self, command: Command) {
        let (done, answer) = oneshot::channel();
        self.commands
            .send((command, done))
            .expect("the thread runs until this is dropped");
        answer.await.expect("the thread answers");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A thread that has panicked has reported it and left nothing to end.
        let _ = self.commands.send((Command::Shutdown, oneshot::channel().0));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    service: Arc<Service>,
    commands: mpsc::UnboundedReceiver<(Command, oneshot::Sender<()>)>,
    report: &blocking::Sender<u16>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let found = (0..10)
            .map(|_| free_port())
            .find_map(|port| Some((port, reserve(port).ok()?)));
        let (port, socket) = found.expect("a free port");
        let listener = socket.listen(1024).expect("the port is ours");
        report.send(port).expect("`open` waits for the port");
        // It ends early only if another process took the port; the next command then fails.
        let _ = accept_connections(service, commands, port, listener).await;
    });
}

/// Accepts connections while it listens; otherwise it keeps the port without listening.
async fn accept_connections(
    service: Arc<Service>,
    mut commands: mpsc::UnboundedReceiver<(Command, oneshot::Sender<()>)>,
    port: u16,
    listener: TcpListener,
) -> io::Result<()> {
    let mut listener = Some(listener);
    let mut reserved = None;
    loop {
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accept => if let Ok((socket, _)) = accepted {
                tokio::spawn(Arc::clone(&service).serve(socket));
            },
            command = commands.recv() => {
                let Some((command, done)) = command else { return Ok(()) };
                match command {
                    Command::Shutdown => return Ok(()),
                    Command::StopListening if listener.is_some() => {
                        drop(listener.take());
                        reserved = Some(reserve(port)?);
                    }
                    Command::Listen if listener.is_none() => {
                        listener = reserved.take().map(|socket: TcpSocket| socket.listen(1024)).transpose()?;
                    }
                    Command::StopListening | Command::Listen => {}
                }
                // The sender may have stopped waiting.
                let _ = done.send(());
            }
        }
    }
}

/// Binds the port without listening: the system refuses connections and gives the port to no other process.
fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    Ok(socket)
}
