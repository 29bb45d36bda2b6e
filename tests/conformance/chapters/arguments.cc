// Every function x every variation of its arguments, in the state in which it would work.
#include "tests/conformance/chapters/scenario.h"
#include "tests/conformance/script/standard.h"
#include "tests/conformance/script/variations.h"

namespace p11ha::conformance {

using cryptoki::EffectKind;
using cryptoki::Fn;
using cryptoki::Op;
using cryptoki::RoleKind;
using cryptoki::Route;

namespace {

// The functions of a scenario: those of one effect on operations.
struct Share {
  const char* name;
  std::vector<EffectKind> kinds;
};

class Arguments {
 public:
  Arguments(Client& client, const std::vector<EffectKind>& kinds) : client_(client), kinds_(kinds) {}

  void run() {
    client_.begin();
    home();
    Keys keys(client_, home_, true);
    keys.makeAll();
    Standard standard(client_, keys);
    standard.prepare(home_);
    makeWrong(keys);
    for (const Fn fn : Standard::functions()) {
      const auto kind = cryptoki::function(fn).effect.kind;
      if (std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end()) function(standard, fn);
    }
  }

 private:
  void home() {
    home_ = client_.open("home");
    client_.login(home_);
  }

  void makeWrong(Keys& keys) {
    wrong_.closedSession = client_.open("closed");
    closeFirst(wrong_.closedSession);
    wrong_.destroyed = client_.create(home_, "destroyed", usable(material::data(), "destroyed"));
    client_.call<Fn::DestroyObject>({}, home_, wrong_.destroyed);
    wrong_.data = keys["data"];
    wrong_.publicKey = keys["rsa public"];
  }

  // Closed before others, so that a module that gives handles again gives theirs first.
  void closeFirst(CK_SESSION_HANDLE session) {
    std::vector<CK_SESSION_HANDLE> others;
    for (int i = 0; i < 8; ++i) others.push_back(client_.open("closed later"));
    client_.close(session);
    for (const CK_SESSION_HANDLE other : others) client_.close(other);
  }

  void function(Standard& standard, Fn fn) {
    const std::string name(cryptoki::function(fn).name);
    client_.section(name);
    const auto exact = one(standard, fn, {});
    unsigned number = 0;
    for (const Variation& variation : variations(fn, wrong_, exact)) {
      client_.section(name + " variation " + std::to_string(++number));
      one(standard, fn, variation);
    }
  }

  // What the output's length was, if there was one.
  std::optional<CK_ULONG> one(Standard& standard, Fn fn, const Variation& variation) {
    const auto& function = cryptoki::function(fn);
    const CK_SESSION_HANDLE session = client_.open("session");
    const auto& effect = function.effect;
    const bool needsOp = effect.kind != EffectKind::None && effect.kind != EffectKind::Begin &&
                         effect.kind != EffectKind::Cancel && effect.kind != EffectKind::Restore;
    const bool fed = effect.kind == EffectKind::Final && Standard::feeding(effect.op) != nullptr;
    if (needsOp) standard.establish(session, effect.op, fed);
    if (effect.kind == EffectKind::Dual) standard.establish(session, effect.second, false);

    Prepared prepared = standard.of(fn, session);
    if (fn == Fn::DestroyObject) {
      prepared.value(1, client_.create(session, "to destroy", usable(material::data(), "to destroy")));
    }
    std::optional<CK_ULONG> exact;
    prepared.note.situation = variation.situation;
    if (variation.change) variation.change(prepared);
    const CK_RV rv = client_.call(prepared);
    const auto* out = function.find(RoleKind::OutBytes);
    if (rv == CKR_OK && out != nullptr && prepared.call.words[out->word] != 0) exact = prepared.length(out->word);

    if (needsOp || effect.kind == EffectKind::Begin) {
      const bool part = effect.kind == EffectKind::Part;
      standard.complete(session, effect.op, fed || part, "after it");
    }
    client_.close(session);
    if (fn == Fn::CloseAllSessions || fn == Fn::Logout || fn == Fn::Login || fn == Fn::LoginUser) {
      client_.call<Fn::CloseAllSessions>({}, client_.slot());
      home();
      standard.keys().findAgain(home_);
      makeWrong(standard.keys());
    }
    return exact;
  }

  Client& client_;
  const std::vector<EffectKind>& kinds_;
  CK_SESSION_HANDLE home_ = 0;
  WrongHandles wrong_;
};

const std::vector<Share>& shares() {
  static const auto* const all = new std::vector<Share>{
      {"arguments, calls without an operation", {EffectKind::None}},
      {"arguments, beginning", {EffectKind::Begin}},
      {"arguments, in one part", {EffectKind::Whole, EffectKind::Message}},
      {"arguments, in many parts", {EffectKind::Part, EffectKind::Final}},
      {"arguments, dual and others", {EffectKind::Dual, EffectKind::Cancel, EffectKind::Restore}},
  };
  return *all;
}

}  // namespace

std::vector<Scenario> argumentScenarios() {
  std::vector<Scenario> all;
  for (const Share& share : shares()) {
    all.push_back({share.name, [&share](Client& client) { Arguments(client, share.kinds).run(); }});
  }
  return all;
}

}  // namespace p11ha::conformance
