#include "ha/key_generation.h"

#include "cryptoki/attribute_reader.h"
#include "ha/inventory.h"

namespace p11ha::ha {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::RoleKind;
using cryptoki::Template;

// One of the objects that the call makes: the key, or a half of the pair.
struct KeyGeneration::Part {
  std::uint8_t templateWord = 0;
  CK_OBJECT_HANDLE* answer = nullptr;
  Template wanted;
  std::optional<Template> asked;      // what it is, where that is not what is wanted of the members (sealed_shape.h)
  bool token = false;                 // the application wants a token object
  bool copyable = true;               // it may go from session to token
  std::string obstacle;               // why it cannot be cloned; empty: it can
  std::string reason;                 // likewise, to some member only
  std::optional<notes::Truth> truth;  // where not its members alone tell it
  std::optional<Identity> identity;   // where it needs a record
};

// A member on which the keys stand: first as session objects, then as what was asked for.
struct KeyGeneration::Holder {
  GroupMember* member = nullptr;
  std::uint32_t epoch = 0;
  std::array<CK_OBJECT_HANDLE, 2> temporary{};
  std::array<CK_OBJECT_HANDLE, 2> made{};
  std::array<CK_OBJECT_HANDLE, 2> records{};
  bool hasAll(std::size_t parts) const {
    return std::all_of(temporary.begin(), temporary.begin() + static_cast<std::ptrdiff_t>(parts),
                       [](CK_OBJECT_HANDLE handle) { return handle != CK_INVALID_HANDLE; });
  }
  Outcome failure{};  // of the copy to it, or of C_CopyObject
};

struct KeyGeneration::Making {
  Call call;
  std::vector<Part> parts;
  std::vector<Holder> holders;  // the maker first
  bool wrappable = true;        // the maker wraps a sealed key of that type

  // The call with each part's template and a place for its handle in `handles`.
  Call withTemplates(std::array<CK_OBJECT_HANDLE, 2>& handles) {
    Call own = call;
    std::size_t next = 0;
    for (const Argument& argument : cryptoki::function(call.fn).args()) {
      if (argument.role == RoleKind::NewObject) own.set(argument.word, &handles[next++]);
    }
    for (Part& part : parts) {
      own.set(part.templateWord, part.wanted.data());
      own.set(part.templateWord + 1U, part.wanted.count());
    }
    return own;
  }
  bool wantsToken() const {
    return std::any_of(parts.begin(), parts.end(), [](const Part& part) { return part.token; });
  }
  /// As it was asked, from now on. False if it is so already.
  bool unseal() {
    bool any = false;
    for (Part& part : parts) {
      if (!part.asked) continue;
      part.wanted = *std::exchange(part.asked, std::nullopt);
      part.obstacle.clear();
      part.reason.clear();
      any = true;
    }
    wrappable = true;
    return any;
  }
  // What the part is to be, by its template.
  Identity assumed(std::size_t part) const {
    Template asked = parts[part].wanted;
    const bool isPair = parts.size() == 2;
    asked.setUlong(CKA_CLASS, !isPair ? CKO_SECRET_KEY : part == 0 ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY);
    asked.setBool(CKA_TOKEN, parts[part].token);
    if (!asked.has(CKA_PRIVATE)) asked.setBool(CKA_PRIVATE, !isPair || part == 1);
    return identify(asked);
  }
  bool copyable() const {
    return std::all_of(parts.begin(), parts.end(), [](const Part& part) { return part.copyable; });
  }
};

namespace {

// C_CopyObject makes a token object of it, and what is left over can be destroyed. (SoftHSM 2.6.1 copies nothing that
// is not modifiable.)
bool canBeStaged(const Template& wanted) {
  return wanted.boolean(CKA_COPYABLE).value_or(true) && wanted.boolean(CKA_MODIFIABLE).value_or(true) &&
         wanted.boolean(CKA_DESTROYABLE).value_or(true);
}

// Of a pair, the private key is known by the public one.
void knowByPublicHalf(const std::vector<ObjectPtr>& made) {
  if (made.size() != 2 || made[0] == nullptr || made[1] == nullptr) return;
  Identity identity = made[1]->identity();
  if (!identity.material.empty() && !identity.lent) return;
  identity.material = made[0]->identity().material;
  identity.lent = false;
  made[1]->setIdentity(std::move(identity));
}

}  // namespace

CK_RV KeyGeneration::generate(Session& session, const Call& call) {
  Making making{call, {}, {}};
  std::vector<CK_OBJECT_HANDLE*> answers;
  const cryptoki::Function& row = cryptoki::function(call.fn);
  for (const Argument& argument : row.args()) {
    if (argument.role == RoleKind::InTemplate) {
      auto wanted = Template::copyOf(call.get<CK_ATTRIBUTE*>(argument.word), call.get<CK_ULONG>(argument.word + 1U));
      if (!wanted) return wanted.error();
      Part part;
      part.templateWord = argument.word;
      part.token = wanted->boolean(CKA_TOKEN).value_or(false);
      part.copyable = canBeStaged(*wanted);
      part.wanted = std::move(*wanted);
      making.parts.push_back(std::move(part));
    } else if (argument.role == RoleKind::NewObject) {
      answers.push_back(call.get<CK_OBJECT_HANDLE*>(argument.word));
    }
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i] == nullptr) return CKR_ARGUMENTS_BAD;
    making.parts[i].answer = answers[i];
  }
  seal(call, making);
  for (;;) {
    const CK_RV rv = make(session, making);
    const bool refused = isTemplateRefused(rv) || !making.wrappable;
    if (!refused || !making.unseal()) return rv;
  }
}

// A key that is to be non-extractable is made in a shape in which it can travel, where the primary can send it.
void KeyGeneration::seal(const Call& call, Making& making) const {
  const auto* const mechanism = call.get<const CK_MECHANISM*>(1);
  if (mechanism == nullptr) return;
  CK_OBJECT_CLASS objectClass = call.fn == Fn::GenerateKey ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
  switch (mechanism->mechanism) {
    case CKM_DSA_PARAMETER_GEN:
    case CKM_DSA_PROBABILISTIC_PARAMETER_GEN:
    case CKM_DSA_SHAWE_TAYLOR_PARAMETER_GEN:
    case CKM_DH_PKCS_PARAMETER_GEN:
    case CKM_X9_42_DH_PARAMETER_GEN:
      objectClass = CKO_DOMAIN_PARAMETERS;
      break;
    default:
      break;
  }
  Part& key = making.parts.back();  // of a pair, the private one
  if (!truth_.seals(kindOfNew(key.wanted, objectClass))) return;
  key.asked = key.wanted;
  key.wanted = sealedTemplate(*key.asked);
}

CK_RV KeyGeneration::make(Session& session, Making& making) {
  // A read-only session is refused by the member, and a template that closes its object to copies leaves only the
  // direct way.
  const bool plain =
      !group_.policy().synchronize || (making.wantsToken() && (!session.readWrite() || !making.copyable()));
  for (std::size_t tries = 0; !plain && tries < group_.members.size(); ++tries) {
    // With one member left there is nobody to clone to, but a key that could never be cloned is still to be refused.
    if (std::popcount(group_.receivers()) < 2 && !keys_.deniesUnreplicated()) break;
    if (const auto rv = staged(session, making)) return *rv;
  }
  return directly(session, making);
}

// As asked, on one member; cloned afterwards where it can be.
CK_RV KeyGeneration::directly(Session& session, Making& making) {
  std::array<CK_OBJECT_HANDLE, 2> handles{};
  for (Part& part : making.parts) {
    if (part.wanted.has(CKA_TOKEN)) part.wanted.setBool(CKA_TOKEN, part.token);
  }
  Request request{making.withTemplates(handles), {}};
  if (const CK_RV rv = failover_.run(session, request); rv != CKR_OK) return rv;
  Holder maker{&group_.member(request.answeredBy), request.answeredUnder, handles, handles, {}, {}};
  for (std::size_t i = 0; i < making.parts.size() && keys_.deniesUnreplicated(); ++i) {
    if (keys_.obstacle(session, *maker.member, handles[i]).empty()) continue;
    making.holders.assign({maker});
    dropTemporaries(session, making);
    return CKR_TEMPLATE_INCONSISTENT;
  }
  UnderWay underWay;
  std::vector<ObjectPtr> objects;
  for (std::size_t i = 0; i < making.parts.size(); ++i) {
    objects.push_back(keys_.note(session, *maker.member, maker.epoch, handles[i], making.assumed(i), underWay));
    *making.parts[i].answer = objects[i]->handle();
  }
  knowByPublicHalf(objects);
  for (const ObjectPtr& object : objects) keys_.beforeHandingOut(object);
  for (std::size_t i = 0; i < making.parts.size() && group_.policy().synchronize; ++i)
    making.parts[i].obstacle = keys_.obstacle(session, *maker.member, handles[i]);
  learn(session, making, maker, handles);
  const auto record = [&](const Part& part, GroupMember& member, std::uint32_t epoch) {
    return part.identity ? records_.write(member, epoch, *part.identity, *part.truth)
                         : CK_OBJECT_HANDLE{CK_INVALID_HANDLE};
  };
  for (std::size_t i = 0; i < making.parts.size(); ++i) {
    if (making.parts[i].truth) objects[i]->setTruth(*making.parts[i].truth);
    record(making.parts[i], *maker.member, maker.epoch);
  }
  for (std::size_t i = 0; i < making.parts.size(); ++i) {
    const ObjectPtr& object = objects[i];
    if (!group_.policy().synchronize) continue;
    if (!making.parts[i].obstacle.empty()) {
      keys_.logUnreplicated(object, making.parts[i].obstacle);
      continue;
    }
    for (GroupMember& member : group_.each(keys_.others(*maker.member))) {
      const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
      const CK_OBJECT_HANDLE there = record(making.parts[i], member, epoch);
      keys_.cloneTo(member, session, object, *maker.member, maker.epoch);
      if (object->at(member.index, epoch) == CK_INVALID_HANDLE) records_.erase(member, epoch, there);
    }
  }
  return CKR_OK;
}

std::optional<CK_RV> KeyGeneration::staged(Session& session, Making& making) {
  making.holders.clear();
  for (Part& part : making.parts) part.wanted.setBool(CKA_TOKEN, false);
  Holder maker;
  Request request{making.withTemplates(maker.temporary), {}};
  if (const CK_RV rv = failover_.run(session, request); rv != CKR_OK) return rv;
  maker.member = &group_.member(request.answeredBy);
  maker.epoch = request.answeredUnder;
  for (std::size_t i = 0; i < making.parts.size(); ++i) group_.objects.hide(maker.member->index, maker.temporary[i]);
  making.holders.push_back(maker);

  for (std::size_t i = 0; i < making.parts.size(); ++i) {
    making.parts[i].reason.clear();
    making.parts[i].obstacle = keys_.obstacle(session, *maker.member, maker.temporary[i]);
    if (!making.parts[i].obstacle.empty() && keys_.deniesUnreplicated()) {
      dropTemporaries(session, making);
      return CKR_TEMPLATE_INCONSISTENT;
    }
  }
  cloneToOthers(session, making);
  if (!making.wrappable) {
    dropTemporaries(session, making);
    return CKR_KEY_NOT_WRAPPABLE;
  }
  const bool alone = std::any_of(making.parts.begin(), making.parts.end(), [&](const Part& part) {
    const auto index = static_cast<std::size_t>(&part - making.parts.data());
    return !part.reason.empty() &&
           std::count_if(making.holders.begin(), making.holders.end(),
                         [&](const Holder& holder) { return holder.temporary[index] != CK_INVALID_HANDLE; }) < 2;
  });
  if (alone && keys_.deniesUnreplicated()) {
    dropTemporaries(session, making);
    return CKR_TEMPLATE_INCONSISTENT;
  }
  learn(session, making, maker, maker.temporary);
  if (maker.member->lostSince(maker.epoch)) {
    dropTemporaries(session, making);
    return std::nullopt;
  }
  return makeLasting(session, making);
}

void KeyGeneration::learn(Session& session, Making& making, const Holder& maker,
                          const std::array<CK_OBJECT_HANDLE, 2>& handles) {
  const CK_SESSION_HANDLE own = session.members[maker.member->index].handle;
  std::vector<Identity> identities(making.parts.size());
  for (std::size_t i = 0; i < making.parts.size(); ++i) {
    Part& part = making.parts[i];
    part.truth.reset();
    part.identity.reset();
    if (!records_.needed(part.asked || asksForShape(part.wanted), part.obstacle.empty())) continue;
    notes::Truth made;
    readTruth(*maker.member->token, own, handles[i], made);
    part.truth = truthOfGenerated(made, part.wanted, part.asked ? &*part.asked : nullptr);
    if (!part.token) continue;
    readIdentity(*maker.member->token, own, handles[i], identities[i]);
    // As knowByPublicHalf() has it.
    if (i == 1 && identities[1].material.empty()) identities[1].material = identities[0].material;
    part.identity = identities[i];
  }
}

void KeyGeneration::cloneToOthers(Session& session, Making& making) {
  const Holder maker = making.holders.front();
  for (GroupMember& member : group_.each(keys_.others(*maker.member))) {
    Holder holder{&member, member.epoch.load(std::memory_order_acquire), {}, {}, {}, {}};
    if (maker.member->lostSince(maker.epoch) || failover_.sessionOn(session, member, holder.epoch).rv != CKR_OK)
      continue;
    for (std::size_t i = 0; i < making.parts.size(); ++i) {
      if (!making.parts[i].obstacle.empty()) continue;
      const Copied copied = cloner_.copy(*maker.member, maker.epoch, maker.temporary[i],
                                         {member, holder.epoch, false, session.members[member.index].handle});
      if (copied.result == Copied::Result::Done) {
        holder.temporary[i] = copied.handle;
        group_.objects.hide(member.index, copied.handle);
        continue;
      }
      if (copied.outcome.rv == CKR_USER_NOT_LOGGED_IN &&
          (failover_.noticeDeactivation(session, *maker.member, maker.epoch) ||
           failover_.noticeDeactivation(session, member, holder.epoch)))
        break;
      if (copied.result == Copied::Result::Refused && making.parts[i].asked) {
        // SoftHSM 2.6.1 wraps no Ed25519 key. It is to be no weaker than asked for nothing.
        if (copied.outcome.rv == CKR_KEY_NOT_WRAPPABLE) {
          making.wrappable = false;
          making.holders.push_back(holder);
          return;
        }
        if (copied.outcome.rv == CKR_KEY_UNEXTRACTABLE) {
          making.parts[i].reason = copied.reason;
          continue;
        }
      }
      holder.failure = copied.outcome;
      if (copied.result == Copied::Result::TargetLost)
        group_.lose(member, holder.epoch, Loss::Dropped, copied.outcome.rv);
      if (copied.result == Copied::Result::SourceLost) {
        group_.lose(*maker.member, maker.epoch, Loss::Dropped, copied.outcome.rv);
      }
    }
    // What was put on a member before it was lost is still to be taken away.
    making.holders.push_back(holder);
  }
}

// Turns the session objects into what was asked for, on the maker first: from its answer on, the call has taken effect.
CK_RV KeyGeneration::makeLasting(Session& session, Making& making) {
  std::size_t first = making.holders.size();
  for (std::size_t h = 0; h < making.holders.size(); ++h) {
    Holder& holder = making.holders[h];
    // With the maker lost, only a member that holds all parts can stand in for it.
    if (first == making.holders.size() && !holder.hasAll(making.parts.size())) continue;
    bool whole = true;
    for (std::size_t i = 0; i < making.parts.size() && whole; ++i) {
      if (holder.temporary[i] == CK_INVALID_HANDLE) continue;
      if (!making.parts[i].token) {
        group_.objects.unhide(holder.member->index, holder.temporary[i]);
        holder.made[i] = std::exchange(holder.temporary[i], CK_INVALID_HANDLE);
        continue;
      }
      const Part& part = making.parts[i];
      if (part.identity) holder.records[i] = records_.write(*holder.member, holder.epoch, *part.identity, *part.truth);
      Template lasting;
      lasting.addBool(CKA_TOKEN, true);
      const Outcome outcome =
          failover_.callOn(*holder.member, holder.epoch, session,
                           makeCall<Fn::CopyObject>(CK_SESSION_HANDLE{0}, holder.temporary[i], lasting.data(),
                                                    lasting.count(), &holder.made[i]));
      if (outcome.rv == CKR_OK) continue;
      whole = false;
      holder.failure = outcome;
      if (!isLoss(outcome)) records_.erase(*holder.member, holder.epoch, holder.records[i]);
      if (isLoss(outcome) || first != making.holders.size()) continue;
      // The first member's refusal is the answer, and nothing is left.
      dropTemporaries(session, making);
      for (std::size_t k = 0; k < i; ++k) {
        if (holder.made[k] == CK_INVALID_HANDLE) continue;
        failover_.callOn(*holder.member, holder.epoch, session,
                         makeCall<Fn::DestroyObject>(CK_SESSION_HANDLE{0}, holder.made[k]));
        records_.erase(*holder.member, holder.epoch, holder.records[k]);
      }
      return outcome.rv;
    }
    if (whole && first == making.holders.size()) first = h;
  }
  if (first == making.holders.size()) {
    dropTemporaries(session, making);
    return group_.noAnswer();
  }

  const Holder& maker = making.holders[first];
  UnderWay underWay;
  MemberMask made = 0;
  for (const Holder& holder : making.holders) made |= bit(holder.member->index);
  std::vector<ObjectPtr> objects(making.parts.size());
  for (std::size_t i = 0; i < making.parts.size(); ++i) {
    Part& part = making.parts[i];
    if (maker.made[i] == CK_INVALID_HANDLE) continue;
    objects[i] = keys_.note(session, *maker.member, maker.epoch, maker.made[i], making.assumed(i), underWay);
    if (part.truth) objects[i]->setTruth(*part.truth);
    *part.answer = objects[i]->handle();
  }
  for (std::size_t i = 0; i < making.parts.size(); ++i) {
    if (objects[i] == nullptr) continue;
    for (const Holder& holder : making.holders) {
      if (&holder == &maker) continue;
      if (holder.made[i] == CK_INVALID_HANDLE) {
        if (holder.failure.rv != CKR_OK && !isLoss(holder.failure))
          keys_.unsynced(*holder.member, objects[i], holder.failure);
        continue;
      }
      keys_.madeAlso(session, objects[i], *holder.member, holder.epoch, holder.made[i]);
    }
    const Part& part = making.parts[i];
    const std::string& why = part.obstacle.empty() ? part.reason : part.obstacle;
    if (!why.empty()) keys_.logUnreplicated(objects[i], why);
    keys_.askAgain(session, objects[i], *maker.member, maker.epoch, group_.receivers());
    if (why.empty()) keys_.cloneToReturned(session, objects[i], *maker.member, maker.epoch, made);
  }
  knowByPublicHalf(objects);
  for (const ObjectPtr& object : objects) {
    if (object != nullptr) keys_.beforeHandingOut(object);
  }
  dropTemporaries(session, making);
  return CKR_OK;
}

void KeyGeneration::dropTemporaries(Session& session, Making& making) {
  for (Holder& holder : making.holders) {
    for (CK_OBJECT_HANDLE& temporary : holder.temporary) {
      if (temporary == CK_INVALID_HANDLE) continue;
      if (!holder.member->lostSince(holder.epoch)) {
        failover_.callOn(*holder.member, holder.epoch, session,
                         makeCall<Fn::DestroyObject>(CK_SESSION_HANDLE{0}, temporary));
      }
      group_.objects.unhide(holder.member->index, temporary);
      temporary = CK_INVALID_HANDLE;
    }
  }
}

}  // namespace p11ha::ha
