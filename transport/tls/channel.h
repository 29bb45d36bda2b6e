// One TLS connection without its socket: bytes of the network go in and come out, plain bytes likewise.
#pragma once

#include <span>
#include <string>

#include "transport/codec/buffer.h"
#include "transport/tls/context.h"

namespace p11ha::transport {

/// Owned by one connection, whose lock it needs: one thread at a time. It never waits: whoever has it reads from the
/// socket without the lock, and sends without it what outgoing() had.
class TlsChannel {
 public:
  enum class Status : std::uint8_t {
    Good,
    WantInput,  // nothing more until bytes come
    Closed,     // the other side has said that it ends
    Failed,     // error() says why
  };

  /// A client checks that the certificate is `host`'s, a name or an address, and offers `alpn`. May throw
  /// std::bad_alloc.
  static TlsChannel client(SSL_CTX& context, const std::string& host, std::span<const std::uint8_t> alpn);
  static TlsChannel server(SSL_CTX& context);
  ~TlsChannel();
  TlsChannel(TlsChannel&& other) noexcept;
  TlsChannel& operator=(TlsChannel&&) = delete;

  /// Gives it bytes of the network; they must stay until read() or handshake() has answered WantInput, which means that
  /// all were taken.
  void feed(std::span<const std::uint8_t> bytes);

  /// Goes on with the handshake. Good: it is done.
  Status handshake();
  /// Plain bytes, as many as there are and fit.
  Status read(std::span<std::uint8_t> room, std::size_t& got);
  /// Is there nothing more to be read before other bytes come?
  bool drained() const;
  /// Encrypts all of it into outgoing(). Good or Failed.
  Status write(std::span<const std::uint8_t> bytes);
  /// Appends the word that nothing more will come.
  void end();

  /// What is to be sent. The owner clears it.
  Buffer& outgoing();

  /// Why Status::Failed, in words for a log line.
  const std::string& error() const { return error_; }

  /// The other side's certificate, once the handshake is done: the CN of its subject, and SHA-256 of it in hex.
  std::string peerName() const;
  std::string peerFingerprint() const;

 private:
  struct Wire;
  explicit TlsChannel(SSL_CTX& context);
  Status judge(int result);

  std::unique_ptr<Wire> wire_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  std::string error_;
};

}  // namespace p11ha::transport
