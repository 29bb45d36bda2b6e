#include "transport/tls/context.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <system_error>

#include "transport/wire/client_hello.h"

namespace p11ha::transport {
namespace {

// The client offers names that only serve to find the right process: one is the protocol.
int selectProtocol(SSL*, const unsigned char** out, unsigned char* outSize, const unsigned char* in,
                   unsigned int inSize, void*) {
  for (unsigned int at = 0; at < inSize && at + 1U + in[at] <= inSize; at += 1U + in[at]) {
    if (std::string_view(reinterpret_cast<const char*>(in + at + 1), in[at]) != kProtocolName) continue;
    *out = in + at + 1;
    *outSize = in[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

base::Failure<std::string> failed(const std::string& file, const std::string& what) {
  return base::Failure{file + ": " + takeTlsError(what)};
}

std::string describeAlert(int alert) {
  // OpenSSL has no words for this one.
  return alert == TLS13_AD_CERTIFICATE_REQUIRED ? "certificate required" : SSL_alert_desc_string_long(alert);
}

// Nobody is there to be asked for a password, and the application's input is its own.
int noPassword(char* /*buffer*/, int /*size*/, int /*writing*/, void* wanted) {
  *static_cast<bool*>(wanted) = true;
  return -1;
}

// Opening anything else might wait for somebody, or for ever.
std::optional<std::string> problemOfFile(const std::string& path) {
  struct stat there {};
  if (stat(path.c_str(), &there) != 0 || S_ISREG(there.st_mode) || S_ISDIR(there.st_mode)) return std::nullopt;
  return path + ": not a regular file";
}

}  // namespace

std::string takeTlsError(const std::string& otherwise) {
  unsigned long code = ERR_peek_last_error();
  // That another part of OpenSSL has failed says nothing: what that met does.
  if ((ERR_GET_RFLAGS(code) & ERR_RFLAG_COMMON) != 0) code = ERR_peek_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  // Of a file that cannot be read, the system's own word comes first.
  const unsigned long first = ERR_peek_error();
  std::string text = reason == nullptr ? otherwise : reason;
  if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
    if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER) text = "it does not speak TLS";
    const int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
    if (alert > 0 && alert < 256) text = "it refuses: " + describeAlert(alert);
  }
  if (ERR_SYSTEM_ERROR(first)) text = std::system_category().message(static_cast<int>(ERR_GET_REASON(first)));
  ERR_clear_error();
  return text;
}

std::optional<std::string> problemOfKeyFile(const std::string& path) {
  struct stat key {};
  if (stat(path.c_str(), &key) != 0) return path + ": " + std::system_category().message(errno);
  if ((key.st_mode & S_IRWXO) == 0) return std::nullopt;
  return path + ": others than its owner and its group may use it";
}

base::Result<TlsContext, std::string> makeTlsContext(TlsSide side, const TlsFiles& files, OwnDates dates) {
  for (const std::string* const path : {&files.authorities, &files.certificate, &files.privateKey}) {
    if (auto problem = problemOfFile(*path)) return base::Failure{*problem};
  }
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(side == TlsSide::Server ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr) return base::Failure{takeTlsError("TLS cannot be had")};
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // The hardware does these well, and 128 bits are enough for the rest.
  SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  if (side == TlsSide::Server) SSL_CTX_set_alpn_select_cb(raw, selectProtocol, nullptr);
  bool encrypted = false;
  SSL_CTX_set_default_passwd_cb(raw, noPassword);
  SSL_CTX_set_default_passwd_cb_userdata(raw, &encrypted);
  if (SSL_CTX_load_verify_file(raw, files.authorities.c_str()) != 1) return failed(files.authorities, "no certificate");
  if (SSL_CTX_use_certificate_chain_file(raw, files.certificate.c_str()) != 1)
    return failed(files.certificate, "no certificate");
  if (SSL_CTX_use_PrivateKey_file(raw, files.privateKey.c_str(), SSL_FILETYPE_PEM) != 1) {
    if (!encrypted) return failed(files.privateKey, "no private key");
    ERR_clear_error();
    return base::Failure{files.privateKey + ": is encrypted: a key without a password is needed"};
  }
  if (SSL_CTX_check_private_key(raw) != 1) return failed(files.privateKey, "it does not belong to the certificate");
  SSL_CTX_set_default_passwd_cb_userdata(raw, nullptr);
  const X509* const own = SSL_CTX_get0_certificate(raw);
  const bool checked = dates == OwnDates::Checked;
  if (checked && X509_cmp_current_time(X509_get0_notAfter(own)) < 0)
    return failed(files.certificate, "the certificate has expired");
  if (checked && X509_cmp_current_time(X509_get0_notBefore(own)) > 0)
    return failed(files.certificate, "the certificate is not valid yet");
  if (side == TlsSide::Server) {
    // Told to the client, so that it can choose which of its certificates to show.
    SSL_CTX_set_client_CA_list(raw, SSL_load_client_CA_file(files.authorities.c_str()));
  }
  return context;
}

}  // namespace p11ha::transport
