#include "testbed/tls_ping/tls.h"

#include <openssl/err.h>

#include <cstdlib>

namespace p11ha::testbed {
namespace {

std::string reason(const std::string& what) {
  const unsigned long code = ERR_get_error();
  const char* const text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? what : what + ": " + text;
}

std::size_t sizeFrom(const char* variable, std::size_t unless) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? unless : std::strtoul(text, nullptr, 10);
}

}  // namespace

base::Result<PingContext, std::string> makePingContext(bool server, const PingFiles& files) {
  PingContext context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr) return base::Failure{reason("no TLS")};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_mode(context.get(), SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (SSL_CTX_load_verify_locations(context.get(), files.authority.c_str(), nullptr) != 1) {
    return base::Failure{reason(files.authority)};
  }
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    return base::Failure{reason(files.certificate)};
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return base::Failure{reason(files.key)};
  }
  return context;
}

PingSizes pingSizes() { return {sizeFrom("P11HA_PING_REQUEST", 35), sizeFrom("P11HA_PING_ANSWER", 65)}; }

bool sendAll(SSL* connection, const void* data, std::size_t size) {
  std::size_t sent = 0;
  return SSL_write_ex(connection, data, size, &sent) == 1 && sent == size;
}

bool receiveAll(SSL* connection, void* data, std::size_t size) {
  auto* at = static_cast<unsigned char*>(data);
  while (size != 0) {
    std::size_t got = 0;
    if (SSL_read_ex(connection, at, size, &got) != 1) return false;
    at += got;
    size -= got;
  }
  return true;
}

}  // namespace p11ha::testbed
