//! The limiter's thread: it listens, or keeps the port without listening.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc as blocking};
use std::thread::{self, JoinHandle};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot};

use super::serve::Service;
use crate::port::free_port;

/// What the thread at the door can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Open,
    Away,
    Close,
}

/// The handle of the thread; dropping it ends the thread and all that it serves.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) port: u16,
    orders: mpsc::UnboundedSender<(Order, oneshot::Sender<()>)>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts the thread, which listens when this returns.
    pub(super) fn open(service: Service) -> Listener {
        let (orders, receiver) = mpsc::unbounded_channel();
        let (tell, told) = blocking::channel();
        let thread = thread::Builder::new()
            .name("limiter".to_owned())
            .spawn(move || run(Arc::new(service), receiver, &tell))
            .expect("a thread can be started");
        let port = told.recv().expect("the limiter finds a port");
        Listener {
            port,
            orders,
            thread: Some(thread),
        }
    }

    /// Gives an order and waits until it is carried out.
    pub(super) async fn tell(&self, order: Order) {
        let (done, answer) = oneshot::channel();
        self.orders
            .send((order, done))
            .expect("the thread runs until this is dropped");
        answer.await.expect("the thread answers");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A thread that has panicked has said so, and left nothing to end.
        let _ = self.orders.send((Order::Close, oneshot::channel().0));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    service: Arc<Service>,
    orders: mpsc::UnboundedReceiver<(Order, oneshot::Sender<()>)>,
    tell: &blocking::Sender<u16>,
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
        tell.send(port)
            .expect("whoever starts a limiter waits for its port");
        // Only a port that somebody else took meanwhile ends it early; the next order then fails.
        let _ = keep_door(service, orders, port, listener).await;
    });
}

/// Accepts connections while the door is open; while it is not, the port is kept but not listened on.
async fn keep_door(
    service: Arc<Service>,
    mut orders: mpsc::UnboundedReceiver<(Order, oneshot::Sender<()>)>,
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
            order = orders.recv() => {
                let Some((order, done)) = order else { return Ok(()) };
                match order {
                    Order::Close => return Ok(()),
                    Order::Away if listener.is_some() => {
                        drop(listener.take());
                        reserved = Some(reserve(port)?);
                    }
                    Order::Open if listener.is_none() => {
                        listener = reserved.take().map(|socket: TcpSocket| socket.listen(1024)).transpose()?;
                    }
                    Order::Away | Order::Open => {}
                }
                // Whoever gave the order may have stopped waiting.
                let _ = done.send(());
            }
        }
    }
}

/// Binds the port without listening: connections to it are refused, and nobody else can take it.
fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    Ok(socket)
}
