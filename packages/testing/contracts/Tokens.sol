// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// What the tokens of local chains have in common. Their code is placed, so whatever a constructor would set is written in it.
abstract contract LocalToken is ERC20("", "") {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    /// The treasury of a local chain, whom anvil signs for.
    address private constant TREASURY = 0xdb0f4F2ce253C5033eDE7f8899F097f38589F3be;

    mapping(address owner => uint256) public nonces;

    function version() external pure returns (string memory) {
        return "1";
    }

    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256(bytes(name())), keccak256("1"), block.chainid, address(this))
        );
    }

    function mint(address to, uint256 amount) external {
        require(msg.sender == TREASURY, "only the treasury mints");
        _mint(to, amount);
    }

    function _isSigned(address signer, bytes memory encoded, bytes memory signature) internal view returns (bool) {
        bytes32 digest = MessageHashUtils.toTypedDataHash(DOMAIN_SEPARATOR(), keccak256(encoded));
        return SignatureChecker.isValidSignatureNow(signer, digest, signature);
    }
}

/// Local equivalent of DAI, written to its published interface: its permit allows everything or nothing and is not EIP-2612.
contract LocalDai is LocalToken {
    bytes32 public constant PERMIT_TYPEHASH =
        keccak256("Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)");

    function name() public pure override returns (string memory) {
        return "Dai Stablecoin";
    }

    function symbol() public pure override returns (string memory) {
        return "DAI";
    }

    function permit(
        address holder,
        address spender,
        uint256 nonce,
        uint256 expiry,
        bool allowed,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        bytes memory encoded = abi.encode(PERMIT_TYPEHASH, holder, spender, nonce, expiry, allowed);
        require(holder != address(0), "Dai/invalid-address-0");
        require(holder.code.length == 0 && _isSigned(holder, encoded, abi.encodePacked(r, s, v)), "Dai/invalid-permit");
        require(expiry == 0 || block.timestamp <= expiry, "Dai/permit-expired");
        require(nonce == nonces[holder]++, "Dai/invalid-nonce");
        _approve(holder, spender, allowed ? type(uint256).max : 0);
    }
}

/// Local equivalent of USD₮0, written to its published interface: EIP-3009, and an EIP-2612 permit.
contract LocalUsdt is LocalToken {
    bytes32 public constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;

    struct Authorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    function name() public pure override returns (string memory) {
        return unicode"USD₮0";
    }

    function symbol() public pure override returns (string memory) {
        return unicode"USD₮0";
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
    {
        require(block.timestamp <= deadline, "permit is expired");
        bytes memory encoded = abi.encode(PERMIT_TYPEHASH, owner, spender, value, nonces[owner]++, deadline);
        require(_isSigned(owner, encoded, abi.encodePacked(r, s, v)), "invalid signature");
        _approve(owner, spender, value);
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        Authorization memory authorization = Authorization(from, to, value, validAfter, validBefore, nonce);
        _use(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, authorization, abi.encodePacked(r, s, v));
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        Authorization memory authorization = Authorization(from, to, value, validAfter, validBefore, nonce);
        _use(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, authorization, signature);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        require(msg.sender == to, "caller must be the payee");
        Authorization memory authorization = Authorization(from, to, value, validAfter, validBefore, nonce);
        _use(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, authorization, signature);
    }

    function _use(bytes32 typeHash, Authorization memory said, bytes memory signature) private {
        require(block.timestamp > said.validAfter, "authorization is not yet valid");
        require(block.timestamp < said.validBefore, "authorization is expired");
        require(!authorizationState[said.from][said.nonce], "authorization is used or canceled");
        require(_isSigned(said.from, abi.encode(typeHash, said), signature), "invalid signature");
        authorizationState[said.from][said.nonce] = true;
        emit AuthorizationUsed(said.from, said.nonce);
        _transfer(said.from, said.to, said.value);
    }
}
