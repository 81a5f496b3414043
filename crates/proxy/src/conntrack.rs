//! Connections that the kernel remembers: UDP ones that lead to an endpoint that is gone must be forgotten, because
//! their packets never see the rules again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::netlink::{ACK, DUMP, Messages, Socket, attributes};
use crate::ruleset::{Change, Element, Field, Map, Part, Protocol, Ruleset, Target};

const SUBSYSTEM_CTNETLINK: u16 = 1;
const GET: u16 = SUBSYSTEM_CTNETLINK << 8 | 1;
const DELETE: u16 = SUBSYSTEM_CTNETLINK << 8 | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;

/// A UDP door of a Service: its address (none for a node port) and port.
type Door = (Option<IpAddr>, u16);

/// Which UDP doors changed, and which endpoints each has now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doors(BTreeMap<Door, BTreeSet<SocketAddr>>);

/// Where a connection was sent and who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The destination as the client wrote it.
    pub original: SocketAddr,
    /// Who the kernel expects to answer.
    pub answering: SocketAddr,
}

impl Doors {
    /// The UDP doors of all Services.
    #[must_use]
    pub fn all(rules: &Ruleset) -> Self {
        let mut doors = Self::default();
        rules.services.values().for_each(|part| doors.know(Some(part), true));
        doors
    }

    /// The UDP doors of changed Services, with the endpoints that they will have.
    #[must_use]
    pub fn changed(old: &Ruleset, change: &Change) -> Self {
        let mut doors = Self::default();
        for (before, after) in old.pairs(change) {
            doors.know(before, false);
            doors.know(after, true);
        }
        doors
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a connection leads through a door to somewhere that is not behind it.
    #[must_use]
    pub fn is_stale(&self, flow: Flow) -> bool {
        let exact = (Some(flow.original.ip()), flow.original.port());
        if let Some(endpoints) = self.0.get(&exact) {
            return !endpoints.contains(&flow.answering);
        }
        // A node port is on many addresses; a connection that nobody redirected is none of the proxy's.
        let node_port = self.0.get(&(None, flow.original.port()));
        node_port.is_some_and(|endpoints| flow.original != flow.answering && !endpoints.contains(&flow.answering))
    }

    fn know(&mut self, part: Option<&Part>, current: bool) {
        for element in part.into_iter().flat_map(|part| &part.elements) {
            let Some(door) = door(element) else { continue };
            let endpoints = self.0.entry(door).or_default();
            if let Target::Endpoint(endpoint) = element.target
                && current
            {
                endpoints.insert(endpoint);
            }
        }
    }
}

fn door(element: &Element) -> Option<Door> {
    if matches!(element.map, Map::FirewallIps | Map::FirewallAllowed) {
        return None;
    }
    let fields: Vec<Field> = element.key.fields().collect();
    match fields.as_slice() {
        [Field::Address(address), Field::Protocol(Protocol::Udp), Field::Port(port), ..] => {
            Some((Some(*address), *port))
        }
        [Field::Protocol(Protocol::Udp), Field::Port(port), ..] => Some((None, *port)),
        _ => None,
    }
}

/// Makes the kernel forget the stale connections among the UDP ones; gives their number.
pub(crate) fn forget(socket: &Socket, doors: &Doors) -> io::Result<u32> {
    let mut stale = Messages::default();
    let mut count = 0;
    for family in [2, 10] {
        let mut request = Messages::default();
        let mark = request.begin(GET, DUMP, family, 0);
        request.end(&mark);
        socket.dump(&request, |body| {
            if flow(body).is_some_and(|flow| doors.is_stale(flow)) {
                delete(&mut stale, family, body);
                count += 1;
            }
        })?;
    }
    if count == 0 {
        return Ok(0);
    }
    // One that ended by itself meanwhile is as good as forgotten.
    match socket.send(&stale) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(count),
    }
}

fn delete(messages: &mut Messages, family: u8, body: &[u8]) {
    let mark = messages.begin(DELETE, ACK, family, 0);
    for (kind, content) in attributes(body).filter(|(kind, _)| [TUPLE_ORIGINAL, ZONE].contains(kind)) {
        if kind == TUPLE_ORIGINAL {
            let nest = messages.nest(kind);
            for (kind, content) in attributes(content) {
                let inner = messages.nest(kind);
                attributes(content).for_each(|(kind, content)| messages.attribute(kind, &[content]));
                messages.end_nest(&inner);
            }
            messages.end_nest(&nest);
        } else {
            messages.attribute(kind, &[content]);
        }
    }
    messages.end(&mark);
}

fn flow(body: &[u8]) -> Option<Flow> {
    let tuple = |which| attributes(body).find(|(kind, _)| *kind == which).map(|(_, content)| content);
    let (_, original) = ends(tuple(TUPLE_ORIGINAL)?)?;
    let (answering, _) = ends(tuple(TUPLE_REPLY)?)?;
    Some(Flow { original, answering })
}

/// Source and destination of a UDP tuple.
fn ends(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let part = |which| attributes(tuple).find(|(kind, _)| *kind == which).map(|(_, content)| content);
    let (mut source, mut destination) = (None, None);
    for (kind, content) in attributes(part(TUPLE_IP)?) {
        let address = address(content)?;
        // CTA_IP_V4_SRC, _V4_DST, _V6_SRC, _V6_DST
        if kind % 2 == 1 { source = Some(address) } else { destination = Some(address) }
    }
    let protocol: BTreeMap<u16, &[u8]> = attributes(part(TUPLE_PROTOCOL)?).collect();
    let port = |kind| Some(u16::from_be_bytes(protocol.get(&kind)?.get(..2)?.try_into().ok()?));
    (*protocol.get(&1)? == [Protocol::Udp.number()])
        .then_some((SocketAddr::new(source?, port(2)?), SocketAddr::new(destination?, port(3)?)))
}

fn address(content: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(content) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(content).ok().map(|octets| Ipv6Addr::from(octets).into())
}
