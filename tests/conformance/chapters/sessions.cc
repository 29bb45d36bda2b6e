// Sessions of each kind, the library before and after its time, logging in and out (PKCS #11 v3.0, 5.4, 5.6).
#include <optional>

#include "tests/conformance/chapters/scenario.h"
#include "tests/conformance/script/standard.h"
#include "tests/conformance/script/variations.h"

namespace p11ha::conformance {

using cryptoki::Fn;
using cryptoki::Route;

namespace {

CK_RV loginWith(Client& client, CK_SESSION_HANDLE session, CK_USER_TYPE user, const std::string& pin,
                const std::string& what) {
  std::string own = pin;
  return client.call<Fn::Login>({what, false, {}, {}}, session, user, reinterpret_cast<CK_UTF8CHAR_PTR>(own.data()),
                                own.size());
}

void everyFunction(Client& client, const std::string& when) {
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const Fn fn = static_cast<Fn>(i);
    const auto& function = cryptoki::function(fn);
    if (fn == Fn::Initialize) continue;
    client.section(when + ' ' + std::string(function.name));
    // Handles and slot are whatever a client may have kept: nothing is made here.
    Prepared prepared(fn);
    for (std::size_t word = 0; word < function.wordCount; ++word) {
      if (isPointer(fn, word)) {
        prepared.memory(word, 4096);
      } else {
        prepared.value(word, 1);
      }
    }
    if (function.route == Route::Slot) prepared.value(0, client.slot());
    if (const auto* reserved = function.find(cryptoki::RoleKind::Reserved)) prepared.pointer(reserved->word, nullptr);
    if (const auto* request = function.find(cryptoki::RoleKind::InterfaceRequest)) {
      prepared.pointer(request->word, nullptr).pointer(request->word + 1U, nullptr).value(request->word + 3U, 0);
    }
    client.call(prepared);
  }
}

void uninitialised(Client& client) {
  everyFunction(client, "before C_Initialize");
  client.begin();
  const CK_SESSION_HANDLE session = client.open("session");
  client.login(session);
  client.section("end");
  client.call<Fn::Finalize>({}, nullptr);
  everyFunction(client, "after C_Finalize");
}

void initializeAndFinalize(Client& client) {
  client.begin();
  client.section("twice");
  client.call<Fn::Initialize>({"twice", false, {}, {}}, nullptr);
  CK_ULONG something = 0;
  client.call<Fn::Finalize>({"reserved is not NULL", false, {}, {}}, &something);
  client.section("again");
  client.call<Fn::Finalize>({}, nullptr);
  client.call<Fn::Finalize>({"twice", false, {}, {}}, nullptr);
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.LibraryParameters = client.libraryParameters();
  const auto with = [&](const std::string& what) {
    client.section(what);
    client.call<Fn::Initialize>({what, false, {}, {}}, &arguments);
    client.call<Fn::Finalize>({"after " + what, false, {}, {}}, nullptr);
  };
  with("arguments without anything");
  arguments.flags = CKF_OS_LOCKING_OK;
  with("locking of the system");
  arguments.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK;
  with("no threads");
  arguments.flags = CKF_OS_LOCKING_OK;
  arguments.CreateMutex = [](CK_VOID_PTR_PTR mutex) -> CK_RV { return *mutex = nullptr, CKR_OK; };
  with("one callback of four");
  arguments.DestroyMutex = [](CK_VOID_PTR) -> CK_RV { return CKR_OK; };
  arguments.LockMutex = arguments.DestroyMutex;
  arguments.UnlockMutex = arguments.DestroyMutex;
  with("callbacks or locking of the system");
  arguments.flags = 0;
  with("callbacks only");
  arguments = {};
  arguments.flags = CKF_OS_LOCKING_OK;
  int reserved = 0;
  arguments.LibraryParameters = reinterpret_cast<CK_CHAR_PTR*>(&reserved);
  with("reserved is not NULL");
}

// Who is not logged in does not find it, and has a handle that nobody knows.
CK_OBJECT_HANDLE findPrivate(Client& client, CK_SESSION_HANDLE session) {
  Prepared begin(Fn::FindObjectsInit, {"private", false, {}, {}});
  client.call(begin.value(0, session).attributes(1, Attributes().text(CKA_LABEL, "private")));
  Prepared found(Fn::FindObjects, {"private", false, "private", {}});
  found.memory<CK_OBJECT_HANDLE>(1) = 0x7ffffff3;
  found.value(0, session).value(2, 1).memory<CK_ULONG>(3);
  client.call(found);
  client.call<Fn::FindObjectsFinal>({"private", false, {}, {}}, session);
  return found.handle(1);
}

// Each session function in a session of that kind, on private and public objects.
void kindOfSession(Client& client, bool writable, std::optional<CK_USER_TYPE> user) {
  client.begin();
  CK_SESSION_HANDLE home = client.open("home");
  client.login(home);
  Keys keys(client, home, true);
  keys.makeAll();
  client.create(home, "private",
                Attributes(objectNamed("generic", true).without(CKA_PRIVATE).without(CKA_LABEL))
                    .text(CKA_LABEL, "private")
                    .flag(CKA_PRIVATE));
  Standard standard(client, keys);
  standard.prepare(home);
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    const Fn fn = static_cast<Fn>(i);
    const auto& function = cryptoki::function(fn);
    if (function.route != Route::Session) continue;
    client.section(std::string(function.name));
    client.call<Fn::CloseAllSessions>({}, client.slot());
    const CK_SESSION_HANDLE session = client.open("session", writable);
    if (user) client.login(session, *user);
    keys.findAgain(session);
    const CK_OBJECT_HANDLE secret = findPrivate(client, session);
    Prepared prepared = standard.of(fn, session);
    client.call(prepared);
    client.section(std::string(function.name) + " private or token");
    for (const auto& argument : function.args()) {
      if (cryptoki::isObjectHandle(argument.role)) {
        prepared.value(argument.word, secret);
        prepared.note.situation = "a private object";
        client.call(prepared);
      } else if (argument.role == cryptoki::RoleKind::NewObject && argument.word + 1U == function.wordCount) {
        Prepared wanted = standard.of(fn, session);
        const std::size_t word = wanted.wordOf(cryptoki::RoleKind::InTemplate);
        auto* attributes = wanted.call.get<CK_ATTRIBUTE*>(word);
        static CK_BBOOL yes = CK_TRUE;
        for (CK_ULONG n = 0; n < wanted.call.words[word + 1]; ++n) {
          if (attributes[n].type == CKA_TOKEN) attributes[n].pValue = &yes;
        }
        wanted.note.situation = "a token object";
        client.call(wanted);
      }
    }
  }
}

void logins(Client& client) {
  client.begin();
  const std::string pin = client.access().pin;
  const std::string soPin = client.access().soPin;
  client.section("user");
  const CK_SESSION_HANDLE session = client.open("RW");
  loginWith(client, session, CKU_USER, "not the PIN", "wrong PIN");
  client.logout(session);
  loginWith(client, session, CKU_USER, pin, "");
  loginWith(client, session, CKU_USER, pin, "twice");
  loginWith(client, session, CKU_USER, "not the PIN", "twice, wrong PIN");
  loginWith(client, session, CKU_SO, soPin, "SO while the user is");
  loginWith(client, session, CKU_CONTEXT_SPECIFIC, pin, "context specific without an operation");
  const CK_SESSION_HANDLE other = client.open("RO", false);
  CK_SESSION_INFO info{};
  client.call<Fn::GetSessionInfo>({}, other, &info);
  loginWith(client, other, CKU_USER, pin, "twice, in another session");
  client.logout(other);
  client.call<Fn::GetSessionInfo>({}, session, &info);
  client.logout(session);
  client.section("SO");
  loginWith(client, session, CKU_SO, soPin, "SO while a read-only session is open");
  client.close(other);
  loginWith(client, session, CKU_SO, "not the PIN", "SO, wrong PIN");
  loginWith(client, session, CKU_SO, soPin, "SO");
  client.call<Fn::GetSessionInfo>({}, session, &info);
  loginWith(client, session, CKU_USER, pin, "user while the SO is");
  client.open("RO while the SO is", false);
  client.logout(session);
  client.section("last session closed");
  loginWith(client, session, CKU_USER, pin, "");
  client.close(session);
  const CK_SESSION_HANDLE fresh = client.open("fresh");
  client.call<Fn::GetSessionInfo>({}, fresh, &info);
  loginWith(client, fresh, CKU_USER, pin, "after the last session was closed");
  client.call<Fn::CloseAllSessions>({}, client.slot());
  client.call<Fn::GetSessionInfo>({"closed by all", false, {}, {}}, fresh, &info);
  client.call<Fn::CloseAllSessions>({"without any", false, {}, {}}, client.slot());
}

void loginUser(Client& client) {
  client.begin();
  const CK_SESSION_HANDLE session = client.open("session");
  Bytes pin = bytesOf(client.access().pin);
  Bytes name = bytesOf("somebody");
  client.section("C_LoginUser");
  CK_SESSION_INFO info{};
  client.call<Fn::LoginUser>({"no name", false, {}, {}}, session, CK_USER_TYPE{CKU_USER}, pin.data(), pin.size(),
                             nullptr, CK_ULONG{0});
  client.call<Fn::GetSessionInfo>({}, session, &info);
  client.section("C_LoginUser with a name");
  client.logout(session);
  client.call<Fn::LoginUser>({"a name", false, {}, {}}, session, CK_USER_TYPE{CKU_USER}, pin.data(), pin.size(),
                             name.data(), name.size());
  client.call<Fn::GetSessionInfo>({}, session, &info);
}

void twoSessions(Client& client) {
  client.begin();
  const CK_SESSION_HANDLE first = client.open("first");
  client.login(first);
  Keys keys(client, first, false);
  Standard standard(client, keys);
  const CK_SESSION_HANDLE second = client.open("second");
  client.section("interleaved");
  standard.establish(first, cryptoki::Op::Digest, true);
  standard.establish(second, cryptoki::Op::Digest, false);
  standard.complete(second, cryptoki::Op::Digest, false, "");
  standard.complete(first, cryptoki::Op::Digest, true, "");
  client.section("objects of the other session");
  standard.establish(second, cryptoki::Op::Sign, false);
  standard.complete(second, cryptoki::Op::Sign, false, "with a key of the other session");
  standard.establish(second, cryptoki::Op::Sign, false);
  client.close(first);
  standard.complete(second, cryptoki::Op::Sign, false, "its key is gone with its session");
  standard.establish(second, cryptoki::Op::Sign, false);
  client.section("after a logout");
  standard.establish(second, cryptoki::Op::Digest, true);
  client.logout(second);
  standard.complete(second, cryptoki::Op::Digest, true, "after a logout");
}

}  // namespace

std::vector<Scenario> sessionScenarios() {
  const auto kind = [](bool writable, std::optional<CK_USER_TYPE> user) {
    return [=](Client& client) { kindOfSession(client, writable, user); };
  };
  return {{"session uninitialised", uninitialised},
          {"session initialize and finalize", initializeAndFinalize},
          {"session logins", logins},
          {"session C_LoginUser", loginUser},
          {"session two", twoSessions},
          {"session RO public", kind(false, {})},
          {"session RW public", kind(true, {})},
          {"session RO user", kind(false, CKU_USER)},
          {"session RW user", kind(true, CKU_USER)},
          {"session RW SO", kind(true, CKU_SO)}};
}

}  // namespace p11ha::conformance
