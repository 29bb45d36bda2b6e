// The library, its slots and tokens, PINs (PKCS #11 v3.0, 5.4, 5.5).
#include "tests/conformance/chapters/scenario.h"
#include "tests/conformance/script/standard.h"

namespace p11ha::conformance {

using cryptoki::Fn;

namespace {

void information(Client& client) {
  client.begin();
  CK_INFO info{};
  client.call<Fn::GetInfo>({}, &info);
  CK_FUNCTION_LIST_PTR list = nullptr;
  client.call<Fn::GetFunctionList>({}, &list);
  CK_SLOT_INFO slot{};
  client.call<Fn::GetSlotInfo>({}, client.slot(), &slot);
  client.section("mechanisms");
  std::vector<CK_MECHANISM_TYPE> mechanisms(1024);
  CK_ULONG count = mechanisms.size();
  client.call<Fn::GetMechanismList>({}, client.slot(), mechanisms.data(), &count);
  mechanisms.resize(count);
  std::sort(mechanisms.begin(), mechanisms.end());
  for (const CK_MECHANISM_TYPE type : mechanisms) {
    CK_MECHANISM_INFO mechanism{};
    client.section("mechanism " + std::to_string(type));
    client.call<Fn::GetMechanismInfo>({std::to_string(type), false, {}, {}}, client.slot(), type, &mechanism);
  }
  client.section("token");
  CK_TOKEN_INFO token{};
  const auto tokenInfo = [&](const std::string& when) {
    client.call<Fn::GetTokenInfo>({when, false, {}, {}}, client.slot(), &token);
  };
  tokenInfo("at first");
  const CK_SESSION_HANDLE session = client.open("first");
  tokenInfo("a session is open");
  client.open("second", false);
  tokenInfo("two sessions are open");
  client.login(session);
  tokenInfo("the user is logged in");
  client.call<Fn::CloseAllSessions>({}, client.slot());
  tokenInfo("all sessions are closed");
  client.section("wrong PIN");
  const CK_SESSION_HANDLE again = client.open("again");
  CK_UTF8CHAR wrong[] = "not the PIN";
  client.call<Fn::Login>({"wrong PIN", false, {}, {}}, again, CK_USER_TYPE{CKU_USER}, wrong, sizeof wrong - 1);
  tokenInfo("after a wrong PIN");
  client.login(again);
  tokenInfo("after the right one");
}

void slotLists(Client& client) {
  client.begin();
  for (const bool withToken : {true, false}) {
    const CK_BBOOL present = withToken ? CK_TRUE : CK_FALSE;
    client.section(withToken ? "with a token" : "all");
    std::vector<CK_SLOT_ID> slots(64);
    CK_ULONG count = 0;
    client.call<Fn::GetSlotList>({"size query", false, {}, {}}, present, nullptr, &count);
    const CK_ULONG exact = count;
    client.call<Fn::GetSlotList>({"just enough", false, {}, {}}, present, slots.data(), &count);
    count = exact - 1;
    client.call<Fn::GetSlotList>({"one too few", false, {}, {}}, present, slots.data(), &count);
  }
  client.section("events");
  CK_SLOT_ID slot = 0;
  client.call<Fn::WaitForSlotEvent>({"do not block", false, {}, {}}, CK_FLAGS{CKF_DONT_BLOCK}, &slot, nullptr);
  client.call<Fn::WaitForSlotEvent>({"do not block, no slot", false, {}, {}}, CK_FLAGS{CKF_DONT_BLOCK}, nullptr,
                                    nullptr);
}

class Pins {
 public:
  explicit Pins(Client& client) : client_(client) {}

  void set(CK_SESSION_HANDLE session, const std::string& from, const std::string& to, const std::string& what) {
    Prepared prepared(Fn::SetPIN, {what, false, {}, {}});
    prepared.value(0, session).in(1, bytesOf(from)).in(3, bytesOf(to));
    client_.call(prepared);
  }
  void init(CK_SESSION_HANDLE session, const std::string& pin, const std::string& what) {
    Prepared prepared(Fn::InitPIN, {what, false, {}, {}});
    prepared.value(0, session).in(1, bytesOf(pin));
    client_.call(prepared);
  }
  void login(CK_SESSION_HANDLE session, CK_USER_TYPE user, const std::string& pin, const std::string& what) {
    Prepared prepared(Fn::Login, {what, false, {}, {}});
    prepared.value(0, session).value(1, user).in(2, bytesOf(pin));
    client_.call(prepared);
  }

 private:
  Client& client_;
};

void pins(Client& client) {
  client.begin();
  Pins pins(client);
  const std::string pin = client.access().pin;
  const std::string soPin = client.access().soPin;
  const CK_SESSION_HANDLE session = client.open("RW");
  client.section("public");
  pins.init(session, "23456789", "nobody is logged in");
  pins.set(session, "not the PIN", "23456789", "wrong PIN, nobody is logged in");
  pins.set(session, pin, "23456789", "nobody is logged in");
  pins.login(session, CKU_USER, pin, "the old PIN");
  pins.login(session, CKU_USER, "23456789", "the new PIN");
  client.section("user");
  pins.init(session, "34567890", "as the user");
  pins.set(session, pin, "34567890", "the PIN before");
  pins.set(session, "23456789", "1", "too short");
  pins.set(session, "23456789", std::string(400, '7'), "too long");
  pins.set(session, "23456789", "34567890", "as the user");
  client.logout(session);
  pins.login(session, CKU_USER, "23456789", "the PIN before");
  pins.login(session, CKU_USER, "34567890", "the new PIN");
  client.logout(session);
  client.section("SO");
  pins.login(session, CKU_SO, soPin, "SO");
  pins.init(session, "1", "too short");
  pins.init(session, "45678901", "as the SO");
  pins.set(session, soPin, "98765432", "the SO's own");
  client.logout(session);
  pins.login(session, CKU_USER, "45678901", "as the SO set it");
  client.logout(session);
  pins.login(session, CKU_SO, soPin, "the SO's old PIN");
  pins.login(session, CKU_SO, "98765432", "the SO's new PIN");
  client.logout(session);
  client.section("read-only");
  const CK_SESSION_HANDLE readOnly = client.open("RO", false);
  pins.set(readOnly, "45678901", "56789012", "in a read-only session");
}

void tokens(Client& client) {
  client.begin();
  client.section("C_InitToken");
  Bytes pin = bytesOf(client.access().soPin);
  Bytes label(32, ' ');
  const CK_SESSION_HANDLE session = client.open("session");
  client.call<Fn::InitToken>({"with a session", false, {}, {}}, client.slot(), pin.data(), pin.size(), label.data());
  client.close(session);
  client.section("C_InitToken without a session");
  Bytes wrong = bytesOf("not the PIN");
  client.call<Fn::InitToken>({"wrong PIN", false, {}, {}}, client.slot(), wrong.data(), wrong.size(), label.data());
  client.call<Fn::InitToken>({}, client.slot(), pin.data(), pin.size(), label.data());
}

void randomNumbers(Client& client) {
  client.begin();
  const CK_SESSION_HANDLE session = client.open("session");
  for (const CK_ULONG count : {0UL, 1UL, 32UL, 4096UL, 100000UL}) {
    Prepared random(Fn::GenerateRandom, {std::to_string(count), false, {}, {}});
    client.call(random.value(0, session).fill(1, count));
    Prepared seed(Fn::SeedRandom, {std::to_string(count), false, {}, {}});
    client.call(seed.value(0, session).in(1, counting(count)));
  }
}

}  // namespace

std::vector<Scenario> generalScenarios() {
  return {{"general information", information},
          {"general slot lists", slotLists},
          {"general PINs", pins},
          {"general tokens", tokens},
          {"general random", randomNumbers}};
}

}  // namespace p11ha::conformance
