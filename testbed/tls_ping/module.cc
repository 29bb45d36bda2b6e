// p11ha-tls-ping.so: a module of one token, "ping", whose C_GenerateRandom sends so many bytes over TLS and waits for
// so many others, and does nothing else: what any remote member costs at least. P11HA_PING_PORT says where its server
// is, P11HA_PING_CA, P11HA_PING_CERTIFICATE and P11HA_PING_KEY how it is to be trusted. A connection for each session.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "cryptoki/text.h"
#include "testbed/tls_ping/tls.h"

namespace p11ha::testbed {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// One session's own connection.
class PingSession {
 public:
  PingSession() = default;
  PingSession(const PingSession&) = delete;
  PingSession& operator=(const PingSession&) = delete;
  ~PingSession() {
    if (socket_ >= 0) close(socket_);
  }

  bool connectTo(SSL_CTX* context) {
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port =
        htons(static_cast<std::uint16_t>(std::strtoul(variable("P11HA_PING_PORT").c_str(), nullptr, 10)));
    const int on = 1;
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection_.reset(SSL_new(context));
    SSL_set_fd(connection_.get(), socket_);
    return SSL_connect(connection_.get()) == 1;
  }

  bool ping() {
    return sendAll(connection_.get(), request_.data(), request_.size()) &&
           receiveAll(connection_.get(), answer_.data(), answer_.size());
  }

 private:
  int socket_ = -1;
  PingConnection connection_;
  const std::vector<unsigned char> request_ = std::vector<unsigned char>(pingSizes().request, 0x5A);
  std::vector<unsigned char> answer_ = std::vector<unsigned char>(pingSizes().answer);
};

SSL_CTX* theContext = nullptr;

// Its handle is its address: nothing is to be looked up in what is measured.
PingSession* sessionOf(CK_SESSION_HANDLE handle) {
  return reinterpret_cast<PingSession*>(handle);  // NOLINT(performance-no-int-to-ptr)
}

CK_RV initialize(void*) {
  auto context = makePingContext(
      false, {variable("P11HA_PING_CA"), variable("P11HA_PING_CERTIFICATE"), variable("P11HA_PING_KEY")});
  if (!context) return CKR_DEVICE_ERROR;
  theContext = context->release();
  return CKR_OK;
}

CK_RV finalize(void*) {
  SSL_CTX_free(theContext);
  theContext = nullptr;
  return CKR_OK;
}

CK_RV getSlotList(CK_BBOOL, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  if (slots != nullptr) *slots = 1;
  *count = 1;
  return CKR_OK;
}

CK_RV getTokenInfo(CK_SLOT_ID, CK_TOKEN_INFO_PTR info) {
  *info = {};
  cryptoki::pad(info->label, "ping");
  cryptoki::pad(info->manufacturerID, "p11ha");
  cryptoki::pad(info->model, "ping");
  cryptoki::pad(info->serialNumber, "1");
  info->flags = CKF_RNG | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
  return CKR_OK;
}

CK_RV openSession(CK_SLOT_ID, CK_FLAGS, void*, CK_NOTIFY, CK_SESSION_HANDLE_PTR handle) {
  auto session = std::make_unique<PingSession>();
  if (!session->connectTo(theContext)) return CKR_DEVICE_ERROR;
  *handle = reinterpret_cast<CK_SESSION_HANDLE>(session.release());
  return CKR_OK;
}

CK_RV closeSession(CK_SESSION_HANDLE handle) {
  delete sessionOf(handle);
  return CKR_OK;
}

CK_RV login(CK_SESSION_HANDLE, CK_USER_TYPE, CK_UTF8CHAR_PTR, CK_ULONG) { return CKR_OK; }

CK_RV generateRandom(CK_SESSION_HANDLE handle, CK_BYTE_PTR, CK_ULONG) {
  return sessionOf(handle)->ping() ? CKR_OK : CKR_DEVICE_ERROR;
}

CK_FUNCTION_LIST functions() {
  CK_FUNCTION_LIST list{};
  list.version = {2, 40};
  list.C_Initialize = &initialize;
  list.C_Finalize = &finalize;
  list.C_GetSlotList = &getSlotList;
  list.C_GetTokenInfo = &getTokenInfo;
  list.C_OpenSession = &openSession;
  list.C_CloseSession = &closeSession;
  list.C_Login = &login;
  list.C_GenerateRandom = &generateRandom;
  return list;
}

}  // namespace
}  // namespace p11ha::testbed

extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  static CK_FUNCTION_LIST functions = p11ha::testbed::functions();
  *list = &functions;
  return CKR_OK;
}
