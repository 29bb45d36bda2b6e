#include "transport/tls/channel.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstring>
#include <new>

#include "transport/wire/client_hello.h"

namespace p11ha::transport {

struct TlsChannel::Wire {
  std::span<const std::uint8_t> in;
  Buffer out;
};

namespace {

// OpenSSL's side of the wire. A BIO of our own, because OpenSSL's memory BIO copies once more each way.
template <class Wire>
struct WireBio {
  static int read(BIO* bio, char* to, int size) {
    auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (wire.in.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const std::size_t count = std::min(wire.in.size(), static_cast<std::size_t>(size));
    std::memcpy(to, wire.in.data(), count);
    wire.in = wire.in.subspan(count);
    return static_cast<int>(count);
  }
  static int write(BIO* bio, const char* from, int size) {
    auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    try {
      wire.out.putBytes(from, static_cast<std::size_t>(size));
    } catch (const std::bad_alloc&) {
      return -1;
    }
    return size;
  }
  static long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
  }
  static BIO_METHOD* method() {
    // Never freed: connections may still be there when the process ends.
    static BIO_METHOD* const made = [] {
      BIO_METHOD* const fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "p11ha");
      if (fresh == nullptr) throw std::bad_alloc();
      BIO_meth_set_read(fresh, &read);
      BIO_meth_set_write(fresh, &write);
      BIO_meth_set_ctrl(fresh, &control);
      return fresh;
    }();
    return made;
  }
};

}  // namespace

TlsChannel::TlsChannel(SSL_CTX& context) : wire_(std::make_unique<Wire>()), ssl_(SSL_new(&context)) {
  BIO* const bio = ssl_ == nullptr ? nullptr : BIO_new(WireBio<Wire>::method());
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, wire_.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

TlsChannel::~TlsChannel() = default;
TlsChannel::TlsChannel(TlsChannel&& other) noexcept = default;

TlsChannel TlsChannel::client(SSL_CTX& context, const std::string& host, std::span<const std::uint8_t> alpn) {
  TlsChannel channel(context);
  SSL* const ssl = channel.ssl_.get();
  SSL_set_connect_state(ssl);
  X509_VERIFY_PARAM* const check = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(check, host.c_str()) != 1) {
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(check, host.data(), host.size()) != 1) throw std::bad_alloc();
    SSL_set_tlsext_host_name(ssl, host.c_str());
  }
  if (SSL_set_alpn_protos(ssl, alpn.data(), static_cast<unsigned>(alpn.size())) != 0) throw std::bad_alloc();
  return channel;
}

TlsChannel TlsChannel::server(SSL_CTX& context) {
  TlsChannel channel(context);
  SSL_set_accept_state(channel.ssl_.get());
  return channel;
}

void TlsChannel::feed(std::span<const std::uint8_t> bytes) { wire_->in = bytes; }

TlsChannel::Status TlsChannel::judge(int result) {
  // SSL_get_error takes whatever others (the application, a module on this thread) have left in OpenSSL's queue of
  // errors for this connection's own: it is asked last.
  if (SSL_want_read(ssl_.get()) != 0 && BIO_should_read(SSL_get_rbio(ssl_.get())) != 0) return Status::WantInput;
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_ZERO_RETURN) return Status::Closed;
  const long verified = SSL_get_verify_result(ssl_.get());
  error_ = takeTlsError("the connection is broken");
  if (verified != X509_V_OK) error_ = std::string("its certificate: ") + X509_verify_cert_error_string(verified);
  return Status::Failed;
}

TlsChannel::Status TlsChannel::handshake() {
  const int result = SSL_do_handshake(ssl_.get());
  return result == 1 ? Status::Good : judge(result);
}

TlsChannel::Status TlsChannel::read(std::span<std::uint8_t> room, std::size_t& got) {
  got = 0;
  while (got < room.size()) {
    std::size_t more = 0;
    const int result = SSL_read_ex(ssl_.get(), room.data() + got, room.size() - got, &more);
    if (result == 1) {
      got += more;
      // Without another record there is nothing to be had, and asking costs.
      if (drained()) return Status::Good;
      continue;
    }
    const Status status = judge(result);
    return got != 0 && status != Status::Failed ? Status::Good : status;
  }
  return Status::Good;
}

bool TlsChannel::drained() const { return wire_->in.empty() && SSL_pending(ssl_.get()) == 0; }

TlsChannel::Status TlsChannel::write(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    std::size_t written = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
    if (result != 1) {
      const Status status = judge(result);
      if (status == Status::WantInput) error_ = "the handshake is not done";
      return Status::Failed;
    }
    bytes = bytes.subspan(written);
  }
  return Status::Good;
}

void TlsChannel::end() {
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

Buffer& TlsChannel::outgoing() { return wire_->out; }

std::string TlsChannel::peerName() const {
  const X509* const peer = SSL_get0_peer_certificate(ssl_.get());
  if (peer == nullptr) return {};
  const X509_NAME* const subject = X509_get_subject_name(peer);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return name;
}

std::string TlsChannel::peerFingerprint() const {
  const X509* const peer = SSL_get0_peer_certificate(ssl_.get());
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (peer == nullptr || X509_digest(peer, EVP_sha256(), digest.data(), &size) != 1) return {};
  return hex({digest.data(), size});
}

}  // namespace p11ha::transport
