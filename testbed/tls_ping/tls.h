// What both ends of the bare TLS ping-pong are made of: blocking OpenSSL and nothing else.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace p11ha::testbed {

/// Certificates, as PEM files: the authority that both sides trust, and this side's own.
struct PingFiles {
  std::string authority;
  std::string certificate;
  std::string key;
};

struct FreeSsl {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* connection) const { SSL_free(connection); }
};
using PingContext = std::unique_ptr<SSL_CTX, FreeSsl>;
using PingConnection = std::unique_ptr<SSL, FreeSsl>;

/// TLS 1.3 alone, certificates wanted from both. The error names what is wrong.
base::Result<PingContext, std::string> makePingContext(bool server, const PingFiles& files);

/// How many bytes go each way.
struct PingSizes {
  std::size_t request = 0;
  std::size_t answer = 0;
};
/// From P11HA_PING_REQUEST and P11HA_PING_ANSWER; 35 and 65 unless these are set: C_GenerateRandom of 32 bytes.
PingSizes pingSizes();

/// Both wait for all of it; false at the end of the connection.
bool sendAll(SSL* connection, const void* data, std::size_t size);
bool receiveAll(SSL* connection, void* data, std::size_t size);

}  // namespace p11ha::testbed
