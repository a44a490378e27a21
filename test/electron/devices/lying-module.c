/*
 * SoftHSM2 that lies about destruction, and about a token's initialisation. For tests, never shipped.
 *
 * CONCLAVE_LIES names how: `keep` answers CKR_OK and keeps the object; `hide` answers CKR_OK, keeps it, and leaves it out of every
 * search of this process and of later ones (a file beside the token remembers its CKA_ID), but still signs with it; `later`
 * really seems to destroy it in this process, and shows it again in the next.
 *
 * When a token that is in use is initialised: `blank-keep` answers CKR_OK and does nothing; `blank-hide` does nothing either, and shows
 * a blank token as long as this process lives; `relabel` initialises it under another label; `twin` initialises it, and then gives it
 * the serial number of another token; `die` initialises it, and ends with its process before anybody hears of it.
 *
 * Everything else goes through to the library that CONCLAVE_SOFTHSM names. CONCLAVE_LIES_FILE is where `hide` and `later` remember.
 */
#include <dlfcn.h>
#include <pkcs11/pkcs11.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST lying;

static const char *const LIES[] = { "", "keep", "hide", "later", "blank-keep", "blank-hide", "relabel", "twin", "die" };
enum { NONE, KEEP, HIDE, LATER, BLANK_KEEP, BLANK_HIDE, RELABEL, TWIN, DIE, HOW_MANY } how;

/* What this module pretends is gone: CKA_CLASS and CKA_ID, as bytes. */
struct gone { CK_OBJECT_CLASS class; CK_ULONG length; unsigned char id[64]; };
static struct gone hidden[64];
static int count;

static int same(const struct gone *one, const struct gone *other) {
  return one->class == other->class && one->length == other->length && memcmp(one->id, other->id, one->length) == 0;
}

static int name_of(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct gone *name) {
  memset(name, 0, sizeof *name);
  CK_ATTRIBUTE wanted[2] = { { CKA_CLASS, &name->class, sizeof name->class }, { CKA_ID, name->id, sizeof name->id } };
  if (real->C_GetAttributeValue(session, object, wanted, 2) != CKR_OK) return 0;
  name->length = wanted[1].ulValueLen;
  return 1;
}

static int is_hidden(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  struct gone name;
  if (count == 0 || !name_of(session, object, &name)) return 0;
  for (int i = 0; i < count; i++) if (same(&hidden[i], &name)) return 1;
  return 0;
}

static CK_RV destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  struct gone name;
  CK_BBOOL lasts = CK_FALSE;
  CK_ATTRIBUTE token = { CKA_TOKEN, &lasts, sizeof lasts };
  if (how == NONE || how > LATER || real->C_GetAttributeValue(session, object, &token, 1) != CKR_OK || !lasts || !name_of(session, object, &name)) return real->C_DestroyObject(session, object);
  if (how == KEEP) return CKR_OK;
  if (count < 64) hidden[count++] = name;
  const char *path = getenv("CONCLAVE_LIES_FILE");
  FILE *file = how == HIDE && path ? fopen(path, "ab") : NULL;
  if (file) { fwrite(&name, sizeof name, 1, file); fclose(file); }
  return CKR_OK;
}

/* The token that this process says was initialised. */
static CK_SLOT_ID blanked;
static int is_blanked;

static CK_RV init_token(CK_SLOT_ID slot, CK_UTF8CHAR_PTR pin, CK_ULONG length, CK_UTF8CHAR_PTR label) {
  CK_TOKEN_INFO info;
  if (real->C_GetTokenInfo(slot, &info) != CKR_OK || !(info.flags & CKF_TOKEN_INITIALIZED) || how <= LATER) return real->C_InitToken(slot, pin, length, label);
  blanked = slot;
  is_blanked = 1;
  if (how == BLANK_KEEP || how == BLANK_HIDE) return CKR_OK;
  CK_RV answer = real->C_InitToken(slot, pin, length, how == RELABEL ? (CK_UTF8CHAR_PTR)"REHEARSAL under another label    " : label);
  if (how == DIE && answer == CKR_OK) raise(SIGKILL);
  return answer;
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CK_RV answer = real->C_GetTokenInfo(slot, info);
  if (answer != CKR_OK || !is_blanked || slot != blanked) return answer;
  if (how == BLANK_HIDE) info->flags &= ~(CK_FLAGS)CKF_USER_PIN_INITIALIZED;
  CK_SLOT_ID slots[64];
  CK_ULONG many = 64;
  if (how != TWIN || real->C_GetSlotList(CK_TRUE, slots, &many) != CKR_OK) return answer;
  for (CK_ULONG i = 0; i < many; i++) {
    CK_TOKEN_INFO other;
    if (slots[i] != slot && real->C_GetTokenInfo(slots[i], &other) == CKR_OK && (other.flags & CKF_TOKEN_INITIALIZED)) memcpy(info->serialNumber, other.serialNumber, sizeof info->serialNumber);
  }
  return answer;
}

static int seems_blank(CK_SESSION_HANDLE session) {
  CK_SESSION_INFO info;
  return how == BLANK_HIDE && is_blanked && real->C_GetSessionInfo(session, &info) == CKR_OK && info.slotID == blanked;
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG most, CK_ULONG_PTR found) {
  CK_ULONG got = 0;
  *found = 0;
  do {
    CK_OBJECT_HANDLE one;
    CK_RV answer = real->C_FindObjects(session, &one, 1, &got);
    if (answer != CKR_OK) return answer;
    if (got == 1 && !is_hidden(session, one) && !seems_blank(session)) objects[(*found)++] = one;
  } while (got == 1 && *found < most);
  return CKR_OK;
}

/* `later` tells nothing that could be asked about an object that it pretends is gone; `hide` still works with it. */
static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  return how == LATER && is_hidden(session, key) ? CKR_KEY_HANDLE_INVALID : real->C_SignInit(session, mechanism, key);
}

static CK_RV get(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR wanted, CK_ULONG many) {
  return how == LATER && is_hidden(session, object) ? CKR_OBJECT_HANDLE_INVALID : real->C_GetAttributeValue(session, object, wanted, many);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  if (!real) {
    void *library = dlopen(getenv("CONCLAVE_SOFTHSM"), RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList open = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
    if (!open || open(&real) != CKR_OK) return CKR_GENERAL_ERROR;
    const char *lie = getenv("CONCLAVE_LIES");
    for (how = HOW_MANY - 1; how > NONE && (!lie || strcmp(lie, LIES[how])); how--);
    const char *path = getenv("CONCLAVE_LIES_FILE");
    FILE *file = how == HIDE && path ? fopen(path, "rb") : NULL;
    if (file) { while (count < 64 && fread(&hidden[count], sizeof hidden[0], 1, file) == 1) count++; fclose(file); }
    lying = *real;
    lying.C_DestroyObject = destroy;
    lying.C_InitToken = init_token;
    lying.C_GetTokenInfo = token_info;
    lying.C_FindObjects = find;
    lying.C_SignInit = sign_init;
    lying.C_GetAttributeValue = get;
  }
  *list = &lying;
  return CKR_OK;
}
