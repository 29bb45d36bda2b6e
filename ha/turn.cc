#include "ha/turn.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <thread>
#include <vector>

#include "cryptoki/attribute_reader.h"
#include "cryptoki/template.h"
#include "ha/domain/generation.h"
#include "ha/inventory.h"
#include "ha/judge.h"
#include "ha/notes/note.h"
#include "ha/repetition.h"

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Template;

namespace {

constexpr int kMostTries = 100;

Template anyClaim() {
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_DATA);
  wanted.addText(CKA_APPLICATION, notes::kApplication);
  wanted.addText(CKA_LABEL, Turn::kLabel);
  return wanted;
}

}  // namespace

std::uint64_t Turn::drawOwner() {
  const auto made = domain::makeGeneration(0, false);
  auto value = static_cast<std::uint64_t>(base::now().time_since_epoch().count());
  if (made) std::memcpy(&value, made->random.data(), sizeof value);
  return value;
}

std::string Turn::Claim::text() const {
  return std::to_string(number) + ' ' + std::to_string(owner) + ' ' + std::to_string(life);
}

std::optional<Turn::Claim> Turn::Claim::parse(std::span<const std::uint8_t> value) {
  Claim claim;
  const char* at = reinterpret_cast<const char*>(value.data());
  const char* const end = at + value.size();
  for (std::uint64_t* const field : {&claim.number, &claim.owner, &claim.life}) {
    if (field != &claim.number && (at == end || *at++ != ' ')) return std::nullopt;
    const auto [after, error] = std::from_chars(at, end, *field);
    if (error != std::errc()) return std::nullopt;
    at = after;
  }
  return at == end ? std::optional(claim) : std::nullopt;
}

Turn::Turn(cryptoki::Member& member, CK_SESSION_HANDLE session, std::uint64_t owner, const Patience& patience)
    : patience_(patience), member_(member), session_(session) {
  own_.owner = owner;
}

Turn::~Turn() {
  if (state_ == State::Held) dropAll();
}

void Turn::dropAll() {
  for (const CK_OBJECT_HANDLE handle : {entering_, held_}) {
    if (handle != CK_INVALID_HANDLE) drop(handle);
  }
}

// Between the look at the others' numbers and the own one, nobody may believe that there is none.
std::uint64_t Turn::enter() {
  entering_ = put(own_);
  if (state_ != State::Held) return 0;
  const auto seen = look();
  std::uint64_t highest = 0;
  for (const Seen& each : seen.value_or(std::vector<Seen>())) {
    const bool isOwn = each.claim.owner == own_.owner;
    if (isOwn && each.handle != entering_) drop(each.handle);
    if (!isOwn) highest = std::max(highest, each.claim.number);
  }
  return highest;
}

void Turn::draw(std::uint64_t number) {
  if (state_ != State::Held) return;
  own_.number = number;
  held_ = put(own_);
  renewed_ = base::now();
  if (state_ == State::Held) drop(std::exchange(entering_, CK_INVALID_HANDLE));
}

bool Turn::renew() {
  if (state_ != State::Held || base::now() - renewed_ < patience_.renewal()) return isOurs();
  ++own_.life;
  const CK_OBJECT_HANDLE fresh = put(own_);
  if (state_ != State::Held) return false;
  renewed_ = base::now();
  if (drop(std::exchange(held_, fresh)) == CKR_OBJECT_HANDLE_INVALID) {
    drop(held_);
    state_ = State::Over;
  }
  return isOurs();
}

// The state is another if it could not be put there.
CK_OBJECT_HANDLE Turn::put(const Claim& claim) {
  Template wanted = anyClaim();
  const std::string text = claim.text();
  wanted.addBool(CKA_TOKEN, true);
  wanted.addBool(CKA_PRIVATE, false);
  wanted.addText(CKA_VALUE, text);
  Repetition repetition(kMostTries);
  for (;;) {
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    const auto outcome = member_.execute(makeCall<Fn::CreateObject>(session_, wanted.data(), wanted.count(), &made));
    if (outcome.rv == CKR_OK) return made;
    if (repetition.isWorthIt(member_, session_, outcome.rv)) continue;
    const bool isAnswer = !isLoss(outcome) && cryptoki::classify(outcome.rv) != cryptoki::RvClass::Ask;
    state_ = isAnswer ? State::Open : State::Over;
    return CK_INVALID_HANDLE;
  }
}

CK_RV Turn::drop(CK_OBJECT_HANDLE handle) { return member_.execute(makeCall<Fn::DestroyObject>(session_, handle)).rv; }

// Nothing, and the turn is over: the member does not say.
std::optional<std::vector<Turn::Seen>> Turn::look() {
  static constexpr CK_ATTRIBUTE_TYPE kRead[] = {CKA_VALUE};
  const base::Monotonic until = base::now() + patience_.unchanged;
  Repetition repetition(kMostTries);
  for (;;) {
    Template query = anyClaim();
    std::vector<CK_OBJECT_HANDLE> handles;
    const auto listed = listObjects(member_, session_, query, handles);
    if (repetition.isWorthIt(member_, session_, listed.rv)) continue;
    if (listed.rv != CKR_OK) {
      forget();
      return std::nullopt;
    }
    std::vector<Seen> seen;
    bool whole = true;
    for (const CK_OBJECT_HANDLE handle : handles) {
      Template read;
      const auto outcome = cryptoki::readAttributes(member_, session_, handle, kRead, read);
      if (isLoss(outcome)) {
        forget();
        return std::nullopt;
      }
      // One that has gone may have been renewed.
      whole = whole && outcome.rv == CKR_OK;
      const auto value = read.find(CKA_VALUE);
      const auto claim = value ? Claim::parse(*value) : std::nullopt;
      if (claim) seen.push_back({handle, *claim, sinceWhen(*claim)});
    }
    seen_ = seen;
    if (whole || base::now() >= until) return seen;
    std::this_thread::sleep_for(patience_.look);
  }
}

base::Monotonic Turn::sinceWhen(const Claim& claim) const {
  const auto known = std::find_if(seen_.begin(), seen_.end(), [&](const Seen& each) { return each.claim == claim; });
  return known == seen_.end() ? base::now() : known->since;
}

void Turn::wait(const Meanwhile& meanwhile) {
  const base::Monotonic begun = base::now();
  while (state_ == State::Held) {
    auto seen = look();
    if (!seen) return;
    std::erase_if(*seen, [this](const Seen& each) { return each.claim.owner == own_.owner; });
    const auto first = std::min_element(seen->begin(), seen->end(),
                                        [](const Seen& a, const Seen& b) { return a.claim.isBefore(b.claim); });
    if (first == seen->end() || !first->claim.isBefore(own_)) return;
    if (base::now() - first->since >= patience_.unchanged) {
      drop(first->handle);
      continue;
    }
    // Tokens tell nobody of changes.
    std::this_thread::sleep_for(patience_.look);
    if (meanwhile && !meanwhile(base::now() - begun)) {
      dropAll();
      return forget();
    }
    // Others that thought it dead may have gone ahead.
    if (!renew()) return;
  }
}

}  // namespace p11ha::ha
