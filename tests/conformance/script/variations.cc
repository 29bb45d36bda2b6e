#include "tests/conformance/script/variations.h"

namespace p11ha::conformance {

using cryptoki::Argument;
using cryptoki::Fn;
using cryptoki::RoleKind;

namespace {

constexpr CK_ULONG kNeverIssued = 0x7ffffff1;

// Which of a function's parameters are pointers, from its declaration.
template <class Pointer>
struct PointersOf;
template <class... Params>
struct PointersOf<CK_RV (*)(Params...)> {
  static constexpr std::array<bool, cryptoki::kMaxWords> value = {std::is_pointer_v<Params>...};
};
constexpr std::array<bool, cryptoki::kMaxWords> kPointers[] = {
#define FN(name, ...) PointersOf<CK_C_##name>::value,
#include "cryptoki/functions.def"
#undef FN
};

std::string roleName(RoleKind role) {
  switch (role) {
    case RoleKind::SlotId:
      return "slot";
    case RoleKind::SessionId:
      return "session";
    case RoleKind::ObjectId:
      return "object";
    case RoleKind::KeyId:
      return "key";
    case RoleKind::WrappingKeyId:
      return "wrapping key";
    case RoleKind::UnwrappingKeyId:
      return "unwrapping key";
    case RoleKind::OptionalKeyId:
      return "optional key";
    case RoleKind::NewObject:
      return "new object";
    case RoleKind::NewSession:
      return "new session";
    case RoleKind::FoundObjects:
      return "found objects";
    case RoleKind::Mechanism:
      return "mechanism";
    case RoleKind::InTemplate:
    case RoleKind::OutTemplate:
      return "template";
    case RoleKind::InBytes:
      return "data";
    case RoleKind::OutBytes:
    case RoleKind::FilledBytes:
      return "output";
    case RoleKind::MessageParameter:
      return "message parameter";
    case RoleKind::Pin:
      return "PIN";
    case RoleKind::UserName:
      return "user name";
    case RoleKind::Label32:
      return "label";
    case RoleKind::UserType:
      return "user type";
    case RoleKind::Flags:
      return "flags";
    case RoleKind::Present:
      return "token present";
    case RoleKind::MechanismType:
      return "mechanism type";
    case RoleKind::OutNumber:
      return "number";
    case RoleKind::OutSlot:
      return "slot";
    case RoleKind::OutSlots:
    case RoleKind::OutMechanisms:
    case RoleKind::OutInterfaces:
      return "list";
    case RoleKind::OutInfo:
      return "information";
    case RoleKind::Callback:
      return "callback";
    case RoleKind::InitializeArguments:
      return "arguments";
    case RoleKind::Reserved:
      return "reserved";
    case RoleKind::OutFunctionList:
      return "function list";
    case RoleKind::InterfaceRequest:
      return "interface";
  }
  return "argument";
}

class Variations {
 public:
  Variations(Fn fn, const WrongHandles& wrong, std::optional<CK_ULONG> exact) : fn_(fn), wrong_(wrong), exact_(exact) {}

  std::vector<Variation> all() {
    for (const Argument& argument : cryptoki::function(fn_).args()) {
      nulls(argument);
      special(argument);
    }
    return std::move(list_);
  }

 private:
  void add(const std::string& situation, std::function<void(Prepared&)> change) {
    list_.push_back({situation, std::move(change)});
  }
  void value(const std::string& situation, std::size_t word, CK_ULONG value) {
    add(situation, [word, value](Prepared& prepared) { prepared.value(word, value); });
  }

  // Each pointer of the argument; what it points to stays said (its length), so that it looks like data that is
  // missing.
  void nulls(const Argument& argument) {
    if (argument.role == RoleKind::Callback || argument.role == RoleKind::Reserved ||
        argument.role == RoleKind::InitializeArguments) {
      return;  // NULL as they are
    }
    for (std::size_t i = 0; i < argument.words; ++i) {
      const std::size_t word = argument.word + i;
      if (!isPointer(fn_, word)) continue;
      const std::string part = i == 0 ? "" : i + 1 == argument.words ? " length" : " middle";
      value(argumentName(fn_, argument) + part + " NULL", word, 0);
    }
  }

  void handle(const Argument& argument, bool mayBeNone) {
    const std::string name = argumentName(fn_, argument);
    if (!mayBeNone) value(name + " 0", argument.word, 0);
    value(name + " never issued", argument.word, kNeverIssued);
    if (argument.role == RoleKind::SessionId) {
      value(name + " closed", argument.word, wrong_.closedSession);
      return;
    }
    value(name + " destroyed", argument.word, wrong_.destroyed);
    value(name + " a data object", argument.word, wrong_.data);
    value(name + " a public key", argument.word, wrong_.publicKey);
  }

  void pointerAndLength(const Argument& argument) {
    const std::string name = argumentName(fn_, argument);
    const std::size_t word = argument.word;
    value(name + " length 0", word + 1U, 0);
    add(name + " NULL, length 0", [word](Prepared& prepared) { prepared.value(word, 0).value(word + 1, 0); });
  }

  void buffers(std::size_t word) {
    add("size query", [word](Prepared& prepared) { prepared.query(word); });
    const auto capacity = [&](const std::string& what, CK_ULONG room) {
      add("room for " + what, [word, room](Prepared& prepared) { prepared.out(word, room); });
    };
    capacity("nothing", 0);
    if (!exact_ || *exact_ == 0) return;
    if (*exact_ > 2) capacity("one byte", 1);
    if (*exact_ > 1) capacity("one byte too few", *exact_ - 1);
    capacity("just enough", *exact_);
    capacity("one byte more", *exact_ + 1);
  }

  void lists(std::size_t word) {
    add("size query", [word](Prepared& prepared) { prepared.query(word); });
    add("room for none", [word](Prepared& prepared) { prepared.memory<CK_ULONG>(word + 1) = 0; });
  }

  void mechanism(std::size_t word) {
    add("unknown mechanism", [word](Prepared& prepared) { prepared.mechanism(word, MechanismSpec(0x7fff1234)); });
    const auto change = [&](const std::string& what, void (*how)(CK_MECHANISM&)) {
      add("mechanism " + what, [word, how](Prepared& prepared) { how(*prepared.call.get<CK_MECHANISM*>(word)); });
    };
    change("with a length but no parameter", [](CK_MECHANISM& m) { m = {m.mechanism, nullptr, 16}; });
    change("without its parameter", [](CK_MECHANISM& m) { m = {m.mechanism, nullptr, 0}; });
    add("mechanism with a parameter too long", [word](Prepared& prepared) {
      const auto type = prepared.call.get<const CK_MECHANISM*>(word)->mechanism;
      prepared.mechanism(word, MechanismSpec(type, counting(333)));
    });
    add("mechanism with a parameter too short", [word](Prepared& prepared) {
      const auto type = prepared.call.get<const CK_MECHANISM*>(word)->mechanism;
      prepared.mechanism(word, MechanismSpec(type, counting(3)));
    });
  }

  void attributesIn(std::size_t word, const std::string& name) {
    value(name + " empty", word + 1, 0);
    add(name + " NULL, of none", [word](Prepared& prepared) { prepared.value(word, 0).value(word + 1, 0); });
    const auto wanted = [&](const std::string& what, const Attributes& attributes) {
      add(name + ' ' + what, [word, attributes](Prepared& prepared) { prepared.attributes(word, attributes); });
    };
    wanted("with an unknown attribute", Attributes().bytes(0x7ffff123, counting(4)));
    wanted("with a class of one byte", Attributes().bytes(CKA_CLASS, counting(1)));
    wanted("with a flag of four bytes", Attributes().bytes(CKA_TOKEN, counting(4)));
    wanted("with a length but no value", Attributes());
    list_.back().change = [word](Prepared& prepared) {
      prepared.attributes(word, Attributes().bytes(CKA_LABEL, {}));
      prepared.call.get<CK_ATTRIBUTE*>(word)->ulValueLen = 5;
    };
  }

  void special(const Argument& argument) {
    const std::size_t word = argument.word;
    const std::string name = argumentName(fn_, argument);
    switch (argument.role) {
      case RoleKind::SlotId:
        value("slot that does not exist", word, 99999);
        value("slot without end", word, CK_UNAVAILABLE_INFORMATION);
        return;
      case RoleKind::SessionId:
      case RoleKind::ObjectId:
      case RoleKind::KeyId:
      case RoleKind::WrappingKeyId:
      case RoleKind::UnwrappingKeyId:
        return handle(argument, false);
      case RoleKind::OptionalKeyId:
        return handle(argument, true);
      case RoleKind::InBytes:
      case RoleKind::Pin:
      case RoleKind::UserName:
      case RoleKind::MessageParameter:
      case RoleKind::FilledBytes:
        return pointerAndLength(argument);
      case RoleKind::OutBytes:
        return buffers(word);
      case RoleKind::OutSlots:
      case RoleKind::OutMechanisms:
      case RoleKind::OutInterfaces:
        return lists(word);
      case RoleKind::Mechanism:
        return mechanism(word);
      case RoleKind::InTemplate:
        return attributesIn(word, name);
      case RoleKind::OutTemplate:
        value("template empty", word + 1, 0);
        add("template with an unknown attribute", [word](Prepared& p) {
          p.wanted(word, {{CKA_LABEL, 32}, {0x7ffff123, 32}});
        });
        add("template that asks for lengths", [word](Prepared& p) {
          p.wanted(word, {{CKA_LABEL, 0}, {CKA_CLASS, 0}});
        });
        add("template with little room", [word](Prepared& p) {
          p.wanted(word, {{CKA_LABEL, 1}, {CKA_CLASS, Prepared::kNoRoom}, {CKA_ID, 32}});
        });
        return;
      case RoleKind::FoundObjects:
        value("room for no object", word + 1, 0);
        return;
      case RoleKind::Flags:
        if (fn_ == Fn::WaitForSlotEvent) return;  // without CKF_DONT_BLOCK it waits
        value("no flags", word, 0);
        value("all flags", word, ~CK_FLAGS{0});
        return;
      case RoleKind::UserType:
        value("user type unknown", word, 99);
        value("user type SO", word, CKU_SO);
        value("user type context specific", word, CKU_CONTEXT_SPECIFIC);
        return;
      case RoleKind::MechanismType:
        value("unknown mechanism", word, 0x7fff1234);
        return;
      case RoleKind::Present:
        value("token need not be present", word, CK_FALSE);
        return;
      case RoleKind::Reserved:
        value("reserved is not NULL", word, 1);
        return;
      default:
        return;
    }
  }

  const Fn fn_;
  const WrongHandles& wrong_;
  const std::optional<CK_ULONG> exact_;
  std::vector<Variation> list_;
};

}  // namespace

bool isPointer(Fn fn, std::size_t word) { return kPointers[static_cast<std::size_t>(fn)].at(word); }

std::string argumentName(Fn fn, const Argument& argument) {
  std::size_t before = 0;
  for (const Argument& other : cryptoki::function(fn).args()) {
    if (other.word < argument.word && other.role == argument.role) ++before;
  }
  return (before == 0 ? "" : "second ") + roleName(argument.role);
}

std::vector<Variation> variations(Fn fn, const WrongHandles& wrong, std::optional<CK_ULONG> exact) {
  return Variations(fn, wrong, exact).all();
}

}  // namespace p11ha::conformance
