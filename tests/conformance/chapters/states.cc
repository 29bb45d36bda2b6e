// Every function x every state of a session's operations (PKCS #11 v3.0, 5.6.8).
#include "tests/conformance/chapters/scenario.h"
#include "tests/conformance/script/standard.h"

namespace p11ha::conformance {

using cryptoki::Fn;
using cryptoki::Op;
using cryptoki::Route;

namespace {

constexpr std::string_view kNames[cryptoki::kOpCount] = {
    "none",   "find",           "encrypt",         "decrypt",         "digest",       "sign",          "sign recover",
    "verify", "verify recover", "message encrypt", "message decrypt", "message sign", "message verify"};

// Ends more than its own session: the home session with its login is to be made again.
bool endsLogin(Fn fn) {
  return fn == Fn::CloseAllSessions || fn == Fn::Logout || fn == Fn::Login || fn == Fn::LoginUser;
}

class States {
 public:
  States(Client& client, Op op, bool fed) : client_(client), op_(op), fed_(fed) {}

  void run() {
    client_.begin();
    home();
    Keys keys(client_, home_, true);
    keys.makeAll();
    Standard standard(client_, keys);
    standard.prepare(home_);
    if (!reachable(standard)) return;
    for (const Fn fn : Standard::functions()) one(standard, fn);
  }

 private:
  void home() {
    home_ = client_.open("home");
    client_.login(home_);
  }

  // Not every module knows every operation; that this one does not is recorded.
  bool reachable(Standard& standard) {
    client_.section("reach");
    const CK_SESSION_HANDLE session = client_.open("trial");
    const bool reached = standard.establish(session, op_, fed_);
    client_.close(session);
    return reached;
  }

  void one(Standard& standard, Fn fn) {
    const auto& function = cryptoki::function(fn);
    client_.section(std::string(function.name));
    const CK_SESSION_HANDLE session = client_.open("session");
    standard.establish(session, op_, fed_);
    Prepared prepared = standard.of(fn, session);
    if (fn == Fn::DestroyObject) {
      prepared.value(1, client_.create(session, "to destroy", usable(material::data(), "to destroy")));
    }
    client_.call(prepared);
    if (fn == Fn::InitToken) return;
    client_.section(std::string(function.name) + " after");
    if (fn != Fn::CloseSession && fn != Fn::CloseAllSessions) {
      const bool sameOp = function.effect.op == op_;
      if (op_ != Op::None) standard.complete(session, op_, fed_ || sameOp, "after " + std::string(function.name));
      client_.close(session);
    }
    if (!endsLogin(fn)) return;
    client_.section(std::string(function.name) + " home");
    client_.call<Fn::CloseAllSessions>({}, client_.slot());
    home();
    standard.keys().findAgain(home_);
  }

  Client& client_;
  const Op op_;
  const bool fed_;
  CK_SESSION_HANDLE home_ = 0;
};

}  // namespace

std::vector<Scenario> stateScenarios() {
  std::vector<Scenario> all;
  for (std::size_t i = 0; i < cryptoki::kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const std::string name = "state " + std::string(kNames[i]);
    all.push_back({name, [op](Client& client) { States(client, op, false).run(); }});
    if (op == Op::None || Standard::feeding(op) == nullptr) continue;
    all.push_back({name + " fed", [op](Client& client) { States(client, op, true).run(); }});
  }
  return all;
}

}  // namespace p11ha::conformance
