//! What the server tells the outside once it serves: the `ready` line and `listening.json`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value};

/// Every bound address by the name of its flag, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listening {
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl Listening {
    /// Adds an address that was bound, for example under `http`.
    pub fn add(&mut self, name: &'static str, address: SocketAddr) {
        self.addresses.push((name, address));
    }

    /// The address bound for a flag.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(known, _)| *known == name).map(|(_, address)| *address)
    }

    /// `ready http=127.0.0.1:8080 smtp=127.0.0.1:2525`, without a line end.
    #[must_use]
    pub fn ready_line(&self) -> String {
        let mut line = "ready".to_owned();
        for (name, address) in &self.addresses {
            write!(line, " {name}={address}").expect("writing to a string cannot fail");
        }
        line
    }

    /// The addresses as the members of a JSON object.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.addresses
            .iter()
            .map(|(name, address)| ((*name).to_owned(), address.to_string().into()))
            .collect()
    }

    /// Writes `listening.json` into the data folder; readers see the old file or the whole new one.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn write_file(&self, folder: &Path) -> std::io::Result<()> {
        let temporary = folder.join(".listening.json.new");
        let mut file = File::create(&temporary)?;
        serde_json::to_writer(&mut file, &self.to_map())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&temporary, folder.join("listening.json"))
    }

    /// Writes the `ready` line, the one line that the server puts on its standard output.
    ///
    /// # Errors
    ///
    /// When the output is closed.
    pub fn announce(&self, output: &mut impl Write) -> std::io::Result<()> {
        writeln!(output, "{}", self.ready_line())?;
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_appear_under_their_flags_in_the_line_and_in_the_file() {
        let mut listening = Listening::default();
        listening.add("http", "127.0.0.1:8080".parse().unwrap());
        listening.add("smtp", "[::1]:2525".parse().unwrap());
        let mut output = Vec::new();
        listening.announce(&mut output).unwrap();
        assert_eq!(output, b"ready http=127.0.0.1:8080 smtp=[::1]:2525\n");
        let folder = tempfile::tempdir().unwrap();
        listening.write_file(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("listening.json")).unwrap();
        assert_eq!(text, "{\"http\":\"127.0.0.1:8080\",\"smtp\":\"[::1]:2525\"}\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
