//! Packets on a TCP connection: each after its length in two bytes (RFC 4571, §2).

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest packet that is taken: what fits into an Ethernet frame, with room.
pub const LONGEST: usize = 2048;

/// Reads a packet. Nothing at the end, or when what comes is no such packet.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    if length == 0 || usize::from(length) > LONGEST {
        return None;
    }
    let mut packet = vec![0; length.into()];
    stream.read_exact(&mut packet).await.ok()?;
    Some(packet)
}

/// Writes a packet.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), packet: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(std::io::Error::other)?;
    let framed = [&length.to_be_bytes(), packet].concat();
    stream.write_all(&framed).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_come_out_as_they_went_in_and_long_ones_end_it() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"one").await.unwrap();
        write(&mut bytes, b"three").await.unwrap();
        bytes.extend([0xff, 0xff, 1]);
        let mut stream = &bytes[..];
        assert_eq!(read(&mut stream).await.unwrap(), b"one");
        assert_eq!(read(&mut stream).await.unwrap(), b"three");
        assert_eq!(read(&mut stream).await, None);
        assert_eq!(read(&mut &b"\0\0"[..]).await, None);
    }
}
